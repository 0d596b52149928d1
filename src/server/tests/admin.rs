use super::*;
use crate::scheduler::{Limits, OpenSpeaker, Scheduler, SpeakerError};
use serde_json::json;

#[tokio::test]
async fn a_warm_up_gives_the_times_of_every_graph_and_makes_ready() {
    let server = server();
    let runs = ask(&server, post("/warmup_trt", "text/plain", ""))
        .await
        .json();
    assert_eq!(runs["cosyvoice2-tiny"][0]["graph"], "llm");
    assert_eq!(runs["cosyvoice2-tiny"][0]["first_ms"], 2.0);
    let ready = get(&server, "/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (StatusCode::OK, &json!(true))
    );
}

#[tokio::test]
async fn a_model_that_is_not_warm_yet_is_not_ready_but_alive() {
    let (go, gate) = mpsc::channel::<()>();
    let open: OpenSpeaker = Box::new(move || {
        let _ = gate.recv();
        Err(SpeakerError::Panicked {
            message: "never opened".to_owned(),
        })
    });
    let bundle = Bundle::open(Path::new(BUNDLE)).expect("the shipped bundle opens");
    let scheduler = Scheduler::start("slow", open, Limits { places: 1 }).expect("a thread");
    let model =
        Model::new(&bundle, TextFrontend::plain(), vec![], scheduler).expect("a bundle to serve");
    let server = Server::new(vec![model], Settings::default());
    let ready = get(&server, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["models"]["cosyvoice2-tiny"], "warming up");
    assert_eq!(get(&server, "/healthz").await.status, StatusCode::OK);
    drop(go);
    let answer = ask(&server, speech_request(&json!({ "input": "a" }))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_server_that_stops_is_not_ready() {
    let model = model(1, |segment, _| Ok(speech(segment)));
    model.scheduler.drain();
    let server = Server::new(vec![model], settings());
    let ready = get(&server, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["models"]["cosyvoice2-tiny"], "stopping");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_what_clients_make_up() {
    let server = server();
    let body = json!({ "input": "Hello.", "response_format": "pcm" });
    ask(&server, speech_request(&body)).await;
    ask(&server, speech_request(&json!({}))).await;
    get(&server, "/no/such/path").await;
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    for line in [
        "cvtrt_http_requests_total{route=\"/v1/audio/speech\",status=\"200\"} 1",
        "cvtrt_http_requests_total{route=\"/v1/audio/speech\",status=\"400\"} 1",
        "cvtrt_http_requests_total{route=\"none\",status=\"404\"} 1",
        "cvtrt_requests_waiting{model=\"cosyvoice2-tiny\"} 0",
        "cvtrt_requests_limit{model=\"cosyvoice2-tiny\"} 20",
        "cvtrt_real_time_factor_count{model=\"cosyvoice2-tiny\"} 1",
        "cvtrt_time_to_first_audio_seconds_count{model=\"cosyvoice2-tiny\"} 1",
        "cvtrt_http_request_duration_seconds_count{route=\"/v1/audio/speech\"} 2",
        "cvtrt_audio_seconds_total{model=\"cosyvoice2-tiny\"} 0.0",
        "cvtrt_graph_info{model=\"cosyvoice2-tiny\",graph=\"llm\",backend=\"ort-cpu\",precision=\"fp32\",fallback=\"false\"} 1",
        "cvtrt_build_info{version=",
        "cvtrt_speech_segments_total{model=\"cosyvoice2-tiny\",end=\"max_tokens\"} 1",
        "cvtrt_speech_loops_broken_total{model=\"cosyvoice2-tiny\"} 2",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("/no/such"));
}

#[tokio::test]
async fn the_server_says_what_runs_each_graph() {
    let info = get(&server(), "/performance_info").await.json();
    let model = &info["models"][0];
    assert_eq!(model["graphs"][0]["backend"], "ort-cpu");
    assert_eq!(model["graphs"][0]["tier"], "ort-cpu-fp32");
    assert_eq!(model["load"]["places"], 20);
}

#[tokio::test]
async fn a_model_below_its_floor_is_not_ready_and_speaks_nothing() {
    let mut model = model(2, |segment, _| Ok(speech(segment)));
    model.served[0].passed_over = vec!["tensorrt: no driver; no library".to_owned()];
    let floor = "ort-cuda".parse().expect("a backend");
    let server = Server::new(vec![model.with_floor(Some(floor))], settings());
    let ready = get(&server, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let reason = "the least is ort-cuda: `llm` is served by ort-cpu in fp32";
    let said = ready.json()["models"]["cosyvoice2-tiny"].to_string();
    assert!(
        said.contains(reason) && said.contains("--min-tier"),
        "{said}"
    );
    let low = &ready.json()["below_floor"]["cosyvoice2-tiny"][0];
    assert_eq!(
        low,
        &json!({ "graph": "llm", "backend": "ort-cpu", "precision": "fp32", "reasons": ["tensorrt: no driver; no library"] })
    );
    let refused = ask(&server, speech_request(&json!({ "input": "a" }))).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "below_floor");
    let message = error["message"].as_str().expect("words");
    assert!(
        message.contains("tensorrt: no driver (") && message.contains("--min-tier ort-cpu "),
        "{message}"
    );
    let info = get(&server, "/performance_info").await.json();
    assert_eq!(info["models"][0]["floor"], "ort-cuda");
    assert_eq!(get(&server, "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_graph_that_fell_back_is_shown() {
    let mut model = model(2, |segment, _| Ok(speech(segment)));
    model.served[0].wanted = Precision::Fp16;
    model.served[0].passed_over = vec!["tensorrt: there is no engine for it".to_owned()];
    let server = Server::new(vec![model], settings());
    let info = get(&server, "/performance_info").await.json();
    let shown = &info["models"][0];
    assert_eq!(shown["fallbacks"], json!(["llm"]));
    assert_eq!(
        shown["graphs"][0]["passed_over"][0],
        "tensorrt: there is no engine for it"
    );
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    assert!(text.contains("fallback=\"true\"} 1"), "{text}");
}

#[tokio::test]
async fn a_tier_that_is_not_served_is_answered_with_the_one_that_is() {
    let body = json!({ "input": "a", "tier": "trt-fp16" });
    let refused = ask(&server(), speech_request(&body)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let error = &refused.json()["error"];
    let message = error["message"].as_str().expect("words");
    assert!(
        message.contains("served at ort-cpu-fp32") && message.contains("serve --tier trt-fp16"),
        "{message}"
    );
}

#[tokio::test]
async fn a_sound_request_id_is_kept_and_another_replaced() {
    let server = server();
    for (given, kept) in [
        ("abc-1", true),
        ("with space", false),
        (&*"x".repeat(129), false),
    ] {
        let request = Request::get("/healthz").header("x-request-id", given);
        let answer = ask(&server, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
        assert!(!answer.header("x-request-id").is_empty());
    }
}
