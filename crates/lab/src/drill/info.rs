//! TCP_INFO under the names that scripts know.

use sockeye_net::tcp_info;
use sockeye_stack::tcp::State;

use super::constant;
use super::value::{Names, Value};
use super::world::World;

impl Names for World {
    fn name(&self, name: &str) -> Result<Option<Value>, String> {
        if !name.starts_with("tcpi_") {
            return Ok(constant::value(name).map(Value::Int));
        }
        let Some(conn) = self.current else {
            return Err("there is no connection yet to tell of".into());
        };
        let row = self.row(conn);
        if name == "tcpi_state" {
            let state = row.and_then(|row| row.state).unwrap_or(State::Closed);
            return Ok(Some(Value::Int(tcp_info::state_number(state).into())));
        }
        let info = row.and_then(|row| row.id).and_then(|id| self.engine.info(id));
        match info {
            Some((info, now)) => {
                let value = tcp_info::value(&info, now, name);
                Ok(value.map(|value| Value::Int(value as i64)))
            }
            None => Err(format!(
                "{name} cannot be told: no open socket stands for the connection"
            )),
        }
    }
}
