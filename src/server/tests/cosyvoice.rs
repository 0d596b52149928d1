use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn samples_come_whatever_way_the_fields_go() {
    let server = server();
    let fields = "tts_text=Good+morning.&spk_id=default&seed=2";
    let with_body = |method: &str| {
        let request = Request::builder()
            .method(method)
            .uri("/inference_sft")
            .header("content-type", FORM);
        request.body(Body::from(fields)).expect("a request")
    };
    let part = |name: &str, value: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let parts = [
        part("tts_text", "Good morning."),
        part("spk_id", "default"),
        part("seed", "2"),
    ]
    .concat();
    let requests = [
        Request::get(format!("/inference_sft?{fields}"))
            .body(Body::empty())
            .expect("a request"),
        with_body("GET"),
        with_body("POST"),
        post(
            "/inference_sft",
            "multipart/form-data; boundary=b",
            format!("{parts}--b--\r\n"),
        ),
    ];
    for request in requests {
        let told = format!("{} {}", request.method(), request.uri());
        let answer = ask(&server, request).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{told}: {:?}",
            String::from_utf8_lossy(&answer.body)
        );
        let heard = samples(&answer.body);
        assert!(
            !heard.is_empty() && heard.iter().all(|sample| *sample == 2 * 256),
            "{told}"
        );
    }
}

#[tokio::test]
async fn wav_is_whole_where_it_is_asked_for() {
    let answer = get(
        &server(),
        "/inference_zero_shot?tts_text=Hello.&prompt_text=Hi.&format=wav",
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK);
    let data_bytes = u32::from_le_bytes(answer.body[40..44].try_into().expect("four"));
    assert_eq!(
        usize::try_from(data_bytes).expect("small") + 44,
        answer.body.len()
    );
}

#[tokio::test]
async fn errors_have_the_shape_of_the_reference() {
    let server = server();
    for (query, status, word) in [
        ("", 400, "tts_text"),
        ("tts_text=", 400, "tts_text"),
        ("tts_text=a&spk_id=no-such", 400, "spk_id"),
        ("tts_text=a&speed=fast", 400, "speed"),
        ("tts_text=a&format=tape", 400, "format"),
        ("tts_text=a&stream=perhaps", 400, "stream"),
    ] {
        let answer = get(&server, &format!("/inference_sft?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
        let detail = answer.json()["detail"]
            .as_str()
            .expect("a detail")
            .to_owned();
        assert!(detail.starts_with(word), "{query}: {detail}");
    }
}

#[tokio::test]
async fn a_mode_the_model_lacks_is_refused_and_says_what_there_is() {
    let path = "/inference_instruct?tts_text=a&spk_id=demo&instruct_text=Softly.";
    let answer = get(&server(), path).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let said = answer.json()["detail"].to_string();
    assert!(
        said.contains("instruct") && said.contains("zero_shot"),
        "{said}"
    );
}

#[tokio::test]
async fn broken_forms_are_refused() {
    let server = server();
    let long = format!("tts_text={}", "a".repeat(20_001));
    let cases = [
        ("multipart/form-data", "x".to_owned(), 400),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nno part".to_owned(),
            400,
        ),
        (FORM, long, 413),
        ("application/json", "{\"tts_text\": \"a\"}".to_owned(), 415),
    ];
    for (content_type, body, status) in cases {
        let answer = ask(&server, post("/inference_sft", content_type, body)).await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
        assert!(answer.json()["detail"].is_string(), "{content_type}");
    }
}

#[tokio::test]
async fn voices_are_listed_by_name() {
    let names = get(&server(), "/list_voices").await.json();
    assert!(
        names
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name == "demo")),
        "{names}"
    );
}
