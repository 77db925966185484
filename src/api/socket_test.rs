//! Tests of what only a real connection shows: bodies that nobody reads, and paths before any parsing.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::api::test_client::TestServer;
use crate::model::limits;

const MIB: usize = limits::VALUE_BYTES_MAX;

/// Serves the router on a socket, sends bytes and reads all that comes back.
async fn over_a_socket(request: &[&[u8]]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, TestServer::new().router).await });
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    for part in request {
        connection.write_all(part).await.unwrap();
    }
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

#[tokio::test]
async fn a_client_that_sent_too_much_gets_to_read_why() {
    let body = vec![b'x'; 3 * MIB];
    let announced = format!(
        "PUT /v1/data/shop/registers/k HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = over_a_socket(&[announced.as_bytes(), &body]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"too_large\""), "{answer}");

    let chunked = "PUT /v1/data/shop/registers/k HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk_head = format!("{:x}\r\n", body.len());
    let answer = over_a_socket(&[chunked.as_bytes(), chunk_head.as_bytes(), &body, b"\r\n0\r\n\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn who_waits_for_continue_is_refused_before_sending() {
    let announced = format!(
        "PUT /v1/data/shop/registers/k HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        2 * MIB
    );
    let answer = over_a_socket(&[announced.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn odd_paths_come_through_the_socket_as_they_were_sent() {
    for (path, status) in [
        ("/v1/data/shop/registers/%zz", "400"),
        ("/v1/data/shop/registers/%ff", "400"),
        ("/v1/data/shop/registers/a%2Fb", "404"),
        ("/v1/data/shop/registers/%00", "404"),
        ("/v1/data/shop/registers/../k", "404"),
        ("//v1/data", "404"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = over_a_socket(&[request.as_bytes()]).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
    }
}
