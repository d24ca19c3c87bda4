//! A real Apache Kafka in a container, for tests on a machine with a current Docker engine.
//!
//! Starts one broker, prints `ready 127.0.0.1:PORT`, and removes the container when standard input is closed.
//!
//! Not for machines without Docker: there the tests run the broker as a child process (`scripts/kafka.sh`).

use std::error::Error;
use std::io::Read;
use std::net::TcpListener;

use testcontainers::core::{IntoContainerPort, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{GenericImage, ImageExt};

/// The port that the broker listens on in its container.
const PORT: u16 = 9092;

fn main() -> Result<(), Box<dyn Error>> {
    // The broker reports its address to its clients, so the external port must be known before it starts.
    let host_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let settings = [
        ("KAFKA_NODE_ID", "1".to_owned()),
        ("KAFKA_PROCESS_ROLES", "broker,controller".to_owned()),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093".to_owned()),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER".to_owned()),
        ("KAFKA_LISTENERS", format!("PLAINTEXT://:{PORT},CONTROLLER://:9093")),
        ("KAFKA_ADVERTISED_LISTENERS", format!("PLAINTEXT://127.0.0.1:{host_port}")),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1".to_owned()),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1".to_owned()),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1".to_owned()),
        ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false".to_owned()),
    ];
    let image = GenericImage::new("apache/kafka", "4.1.0")
        .with_wait_for(WaitFor::message_on_stdout("Kafka Server started"))
        .with_mapped_port(host_port, PORT.tcp());
    let image = settings.into_iter().fold(image, |image, (name, value)| image.with_env_var(name, value));
    let container = image.start()?;
    println!("ready 127.0.0.1:{host_port}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    container.rm()?;
    Ok(())
}
