//! Rooms in the language and the encoding of the server.

use std::time::Duration;

use sockeye_apps::chat::{Messages, RoomSettings, Rooms};
use sockeye_apps::line::{Charset, Stop};
use sockeye_apps::words::Language;
use sockeye_lab::{World, mbit, ms, run};
use sockeye_net::TcpStream;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

#[test]
fn chinese_in_gbk() {
    let mut world = World::new(1);
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world.host("server").ip("10.0.0.2/24").id();
    world.link(client, server).delay(ms(10)).rate(mbit(10));
    run(world, |lab| async move {
        let settings = RoomSettings {
            language: Language::Chinese,
            charset: Charset::Gbk,
            clients: 1,
            ..RoomSettings::default()
        };
        let rooms = Rooms::bind(&lab.net("server"), "10.0.0.2:9001", settings)
            .await
            .unwrap();
        tokio::spawn(async move {
            let (_keep, mut input) = mpsc::channel(1);
            rooms.run(&mut input, &mut Stop::never(), |_| {}).await
        });
        let net = lab.net("client");
        let connect = || TcpStream::connect(&net, "10.0.0.2:9001");
        let (read, mut write) = connect().await.unwrap().into_split();
        let mut messages = Messages::new(read, Charset::Gbk, Duration::from_secs(1), 4096);
        for (say, hear) in [
            ("", "* 您是 guest1，在 hall；/nick 名字、/join 房间"),
            ("/nick 小明", "* guest1 改名为 小明"),
            ("/nick 小明", "* 小明 已被使用：请换一个名字"),
            ("/join 花园", "* 小明 进入了 花园"),
            ("   ", "* 不能发送空消息"),
            ("Q", "* 再见"),
        ] {
            if !say.is_empty() {
                let line = Charset::Gbk.encode(&format!("{say}\n")).unwrap();
                write.write_all(&line).await.unwrap();
            }
            let line = messages.next().await.unwrap().unwrap_or_default();
            assert!(line.starts_with(hear), "{say:?}: {line}");
            if say.starts_with("/join") {
                // A second finds no place.
                let second = connect().await.unwrap();
                let mut second = Messages::new(second, Charset::Gbk, Duration::from_secs(1), 4096);
                assert_eq!(second.next().await.unwrap().unwrap(), "* 没有位置了：请稍后再来");
            }
        }
    });
}
