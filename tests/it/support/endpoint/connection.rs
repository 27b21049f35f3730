//! One connection of an endpoint: HTTP/1.1 by hand, since a library would not let us misbehave, and HTTP/2.

use std::fmt::Write;
use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::super::http1::{self, Recorded};
use super::{Answer, Shared};

pub(super) async fn accept(listener: std::net::TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        match tls.clone() {
            None => drop(tokio::spawn(async move { requests(stream, &shared).await })),
            Some(tls) => drop(tokio::spawn(over_tls(stream, tls, shared))),
        }
    }
}

async fn over_tls(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    match tls.accept(stream).into_fallible().await {
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            let service = service_fn(|request| respond(request, Arc::clone(&shared)));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // A connection that ends in an error has noted what there was to see.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
        Ok(stream) => requests(stream, &shared).await,
        // What the client has sent meanwhile is read, or the reset would overtake the alert.
        Err((_, mut stream)) => {
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    }
}

async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = http1::read(&mut stream).await {
        let (index, answer) = shared.arrived(&request);
        let answer = shared.due(index, answer).await;
        if !give(answer, &mut stream).await {
            break;
        }
    }
    // Over TLS an end without a close_notify would be another error than the one that the script asks for.
    let _ = stream.shutdown().await;
}

/// Returns whether the connection goes on.
async fn give(answer: Answer, stream: &mut (impl AsyncWrite + Unpin)) -> bool {
    match answer {
        Answer::Status { code, headers, body } => {
            let mut head = format!("HTTP/1.1 {code} Scripted\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in headers {
                write!(head, "{name}: {value}\r\n").unwrap();
            }
            stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.is_ok()
                && stream.flush().await.is_ok()
        }
        Answer::CutOff => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"cut").await;
            let _ = stream.flush().await;
            false
        }
        _ => false,
    }
}

/// Over HTTP/2 an answer that is none is a stream that is reset.
async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Full<Bytes>>> {
    let (index, answer) = shared.arrived(&recorded(request).await?);
    let Answer::Status { code, headers, body } = shared.due(index, answer).await else {
        return Err(io::ErrorKind::ConnectionReset.into());
    };
    let mut response = Response::builder().status(code);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body.into())).unwrap())
}

/// HTTP/2 has an `:authority`, by which it can be told.
async fn recorded(request: Request<Incoming>) -> io::Result<Recorded> {
    let (head, body) = request.into_parts();
    let authority = (":authority".to_owned(), head.uri.authority().unwrap().to_string());
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    Ok(Recorded {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        headers: std::iter::once(authority).chain(headers).collect(),
        body: body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec(),
    })
}
