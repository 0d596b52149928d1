use super::*;
use serde_json::json;

#[tokio::test]
async fn pcm_is_spoken_with_the_seed_of_the_request() {
    let server = server();
    let body = json!({ "model": "default", "input": "Hello.", "voice": "default", "response_format": "pcm", "seed": 5 });
    let answer = ask(&server, speech_request(&body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let heard = samples(&answer.body);
    assert!(
        !heard.is_empty() && heard.iter().all(|sample| *sample == 5 * 256),
        "{heard:?}"
    );
    assert_eq!(answer.header("content-type"), "audio/pcm");
    assert_eq!(answer.header("x-backend"), "ort-cpu");
    assert!(answer.header("x-request-id").starts_with("req-"));
    let seconds = answer.number("x-audio-duration");
    assert!(
        (seconds - f64::from(u32::try_from(heard.len()).expect("short")) / 24_000.0).abs() < 1e-3
    );
    assert!(answer.number("x-rtf") > 0.0 && answer.number("x-processing-time") >= 0.0);
}

#[tokio::test]
async fn every_format_has_its_type_and_its_first_bytes() {
    let server = server();
    let mut formats: Vec<(&str, &str, &[u8])> = vec![
        ("wav", "audio/wav", b"RIFF"),
        ("flac", "audio/flac", b"fLaC"),
        ("opus", "audio/ogg", b"OggS"),
    ];
    if cfg!(feature = "mp3") {
        formats.push(("mp3", "audio/mpeg", &[0xff]));
    }
    for (format, content_type, magic) in formats {
        for stream in [false, true] {
            let body = json!({ "input": "Hello.", "response_format": format, "stream": stream });
            let answer = ask(&server, speech_request(&body)).await;
            assert_eq!(answer.status, StatusCode::OK, "{format}");
            assert_eq!(answer.header("content-type"), content_type);
            assert!(answer.body.starts_with(magic), "{format}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_samples_is_the_whole_in_pieces() {
    let server = server();
    let mut body = json!({ "input": "Hello.", "response_format": "pcm", "seed": 3 });
    let whole = ask(&server, speech_request(&body)).await;
    body["stream_format"] = json!("audio");
    let streamed = ask(&server, speech_request(&body)).await;
    assert_eq!(streamed.body, whole.body);
    assert_eq!(
        streamed.header("trailer"),
        "x-rtf, x-processing-time, x-audio-duration"
    );

    body["stream_format"] = json!("sse");
    let events = ask(&server, speech_request(&body)).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let text = String::from_utf8(events.body).expect("UTF-8");
    let events: Vec<Value> = text
        .split_terminator("\n\n")
        .map(|event| {
            serde_json::from_str(event.strip_prefix("data: ").expect("data")).expect("JSON")
        })
        .collect();
    let (done, deltas) = events.split_last().expect("events");
    assert_eq!(done["type"], "speech.audio.done");
    assert!(done["usage"]["total_tokens"].as_u64() > done["usage"]["input_tokens"].as_u64());
    let heard: Vec<u8> = deltas
        .iter()
        .flat_map(|event| base64::decode(event["audio"].as_str().expect("audio")).expect("base64"))
        .collect();
    assert_eq!(heard, whole.body);
}

#[tokio::test]
async fn a_bad_request_names_its_field() {
    let server = server();
    let long = "a".repeat(501);
    let cases = [
        (json!({}), 400, "input"),
        (json!({ "input": "" }), 400, "input"),
        (json!({ "input": " \n" }), 400, "input"),
        (json!({ "input": 5 }), 400, "input"),
        (json!({ "input": long }), 413, "input"),
        (json!({ "input": "a", "model": "no-such" }), 404, "model"),
        (json!({ "input": "a", "voice": "no-such" }), 400, "voice"),
        (
            json!({ "input": "a", "voice": { "id": "no-such" } }),
            400,
            "voice",
        ),
        (json!({ "input": "a", "voice": [1] }), 400, "voice"),
        (
            json!({ "input": "a", "response_format": "aac" }),
            400,
            "response_format",
        ),
        (json!({ "input": "a", "speed": "fast" }), 400, "speed"),
        (json!({ "input": "a", "seed": -1 }), 400, "seed"),
        (
            json!({ "input": "a", "stream_format": "tape" }),
            400,
            "stream_format",
        ),
        (json!({ "input": "a", "mode": "sing" }), 400, "mode"),
        (json!({ "input": "a", "mode": "vc" }), 400, "mode"),
        (
            json!({ "input": "a", "mode": "instruct2" }),
            400,
            "instructions",
        ),
        (
            json!({ "input": "a", "mode": "sft", "instructions": "Whisper." }),
            400,
            "instructions",
        ),
        (json!({ "input": "a", "tier": "no-such" }), 400, "tier"),
        (json!({ "input": "a", "tier": "trt-fp16" }), 400, "tier"),
        (
            json!({ "input": "a", "seed": 14, "response_format": "wav" }),
            400,
            "input",
        ),
    ];
    for (body, status, field) in cases {
        let answer = ask(&server, speech_request(&body)).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        let error = &answer.json()["error"];
        assert_eq!(error["param"], field, "{body}: {error}");
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused() {
    let server = server();
    for (body, status) in [
        ("", 400),
        ("null", 400),
        ("[]", 400),
        ("{\"input\": \"a\"", 400),
        ("{\"input\": \"\\ud800\"}", 400),
        (" ".repeat(20_001).as_str(), 413),
    ] {
        let request = post("/v1/audio/speech", "application/json", body.to_owned());
        let answer = ask(&server, request).await;
        assert_eq!(answer.status.as_u16(), status, "{body:.20}");
        assert!(answer.json()["error"]["message"].is_string(), "{body:.20}");
    }
    let request = post("/v1/audio/speech", "application/json", vec![0xff, 0xfe]);
    assert_eq!(ask(&server, request).await.status.as_u16(), 400);
}

#[tokio::test]
async fn json_is_known_by_its_content_type() {
    let server = server();
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=b", 415),
    ] {
        let body = json!({ "input": "a", "response_format": "pcm" }).to_string();
        let answer = ask(&server, post("/v1/audio/speech", content_type, body)).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
    }
    let body = json!({ "input": "a", "response_format": "pcm" }).to_string();
    let untyped = Request::post("/v1/audio/speech").body(Body::from(body));
    let answer = ask(&server, untyped.expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_path_or_method_that_is_none_is_answered_in_json() {
    let server = server();
    for (method, path, status, code) in [
        ("GET", "/v1/no/such", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("POST", "/synthesize", 404, "not_found"),
        ("GET", "/v1/audio/speech", 405, "method_not_allowed"),
        ("DELETE", "/inference_sft", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = ask(&server, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{method} {path}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains(path)),
            "{error}"
        );
        assert_eq!(
            answer.header("allow").is_empty(),
            status == 404,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_bug_is_one_requests_trouble_and_keeps_its_words_to_the_log() {
    let server = server();
    let mut body = json!({ "input": "a", "response_format": "pcm", "seed": 13 });
    let answer = ask(&server, speech_request(&body)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["error"]["type"], "server_error");
    assert!(!String::from_utf8_lossy(&answer.body).contains("unlucky"));
    body["seed"] = json!(1);
    assert_eq!(
        ask(&server, speech_request(&body)).await.status,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_when_to_come_back() {
    let gated = Gated::new(1);
    let request = || speech_request(&json!({ "input": "a", "response_format": "pcm" }));
    let server = gated.server.clone();
    let first = tokio::spawn(async move { ask(&server, request()).await });
    gated.started.recv().expect("the first is being spoken");
    let refused = ask(&gated.server, request()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.number("retry-after") >= 1.0);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    gated.go.send(()).expect("speaks");
    assert_eq!(first.await.expect("no panic").status, StatusCode::OK);
}

#[tokio::test]
async fn models_and_voices_are_listed() {
    let server = server();
    let models = get(&server, "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], "cosyvoice2-tiny");
    assert_eq!(models["object"], "list");
    for name in ["cosyvoice2-tiny", "default"] {
        let model = get(&server, &format!("/v1/models/{name}")).await.json();
        assert_eq!(model, models["data"][0], "{name}");
    }
    assert_eq!(
        get(&server, "/v1/models/no-such").await.status,
        StatusCode::NOT_FOUND
    );
    let voices = get(&server, "/v1/audio/voices").await.json();
    let name = voices["data"][0]["name"]
        .as_str()
        .expect("a voice")
        .to_owned();
    for voice in [json!(name), json!({ "id": name })] {
        let body = json!({ "model": "cosyvoice2-tiny", "input": "a", "voice": voice, "response_format": "pcm" });
        assert_eq!(
            ask(&server, speech_request(&body)).await.status,
            StatusCode::OK
        );
    }
}
