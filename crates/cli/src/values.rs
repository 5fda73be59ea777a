//! Values of options as people write them: `5%`, `10ms`, `10mbit`.

use sockeye_stack::Duration;

use crate::t;

/// A share: `5%`, or `0.05`.
///
/// # Errors
/// What is accepted.
pub fn share(text: &str) -> Result<f64, String> {
    let accepted = || t!("value-share");
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let value = number.trim().parse::<f64>().map_err(|_| accepted())? / whole;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(accepted())
    }
}

/// A span of time: `10ms`, `1.5s`, `250us`, up to an hour.
///
/// # Errors
/// What is accepted.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9)];
    const HOUR: f64 = 3600e9;
    let accepted = || t!("value-time");
    let nanoseconds = scaled(text, &UNITS).ok_or_else(accepted)?;
    if (0.0..=HOUR).contains(&nanoseconds) {
        Ok(Duration::from_nanos(nanoseconds.round() as u64))
    } else {
        Err(accepted())
    }
}

/// A span of time as [`duration`] takes it, or a number of seconds as netcat does: `3`.
///
/// # Errors
/// What is accepted.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.trim().parse::<f64>() {
        Ok(_) => duration(&format!("{}s", text.trim())),
        Err(_) => duration(text),
    }
}

/// A rate in bits a second: `10mbit`, `64kbit`, `1gbit`, `9600bit`.
///
/// # Errors
/// What is accepted.
pub fn rate(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 4] = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
    let accepted = || t!("value-rate");
    let bits = scaled(&text.to_ascii_lowercase(), &UNITS).ok_or_else(accepted)?;
    if (1e3..=1e12).contains(&bits) {
        Ok(bits.round() as u64)
    } else {
        Err(accepted())
    }
}

/// A number times its unit, the first that fits.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    Some(number.trim().parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0.05"), Ok(0.05));
        assert_eq!(share("100%"), Ok(1.0));
        assert_eq!(share("0"), Ok(0.0));
        for wrong in ["", "5 percent", "101%", "-1%", "20", "NaN", "%"] {
            assert!(share(wrong).unwrap_err().contains("5%"), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250 us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("7ns"), Ok(Duration::from_nanos(7)));
        for wrong in ["", "10", "ms", "-1s", "3601s", "1h", "NaNs", "infs"] {
            assert!(duration(wrong).unwrap_err().contains("10ms"), "{wrong}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("10mbit"), Ok(10_000_000));
        assert_eq!(rate("1.5Mbit"), Ok(1_500_000));
        assert_eq!(rate("9600bit"), Ok(9600));
        for wrong in ["", "10", "mbit", "10mb", "1bit", "-5kbit", "1e9gbit"] {
            assert!(rate(wrong).unwrap_err().contains("10mbit"), "{wrong}");
        }
    }
}
