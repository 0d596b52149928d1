//! Prompts and voices that clients send.

use super::*;
use crate::frontend::wav;
use serde_json::json;
use std::fs;

/// A second and a half of a tone.
fn recording() -> Vec<u8> {
    let tone: Vec<f32> = (0..24_000_u16)
        .map(|n| (f32::from(n) / 20.0).sin() / 2.0)
        .collect();
    let mut file = Vec::new();
    wav::write(&mut file, &tone, 16_000).expect("a WAV file");
    file
}

/// A multipart body of texts and, under `file.0`, a file.
fn form(path: &str, texts: &[(&str, &str)], file: (&str, &[u8])) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in texts {
        body.extend(
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    let (name, content) = file;
    body.extend(
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n")
            .bytes(),
    );
    body.extend(content);
    body.extend(b"\r\n--b--\r\n");
    post(path, "multipart/form-data; boundary=b", body)
}

/// A server over a copy of the bundle, which may be changed; its fake says the first token of the voice.
fn server_of_its_own() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder");
    copy(Path::new(BUNDLE), folder.path());
    let model = model_of(folder.path(), 4, |segment, _| {
        let token = segment.voice.prompt_token[0];
        Ok(speech(&SpeechRequest {
            seed: u64::try_from(token % 100).expect("a token"),
            ..segment.clone()
        }))
    });
    (folder, Server::new(vec![model], settings()))
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// What the fake says with the voice of [`recording`].
const HEARD: i16 = 50 * 256;

#[tokio::test]
async fn an_uploaded_prompt_speaks_in_every_mode_that_hears_one() {
    let (_folder, server) = server_of_its_own();
    let said = ("tts_text", "Good morning.");
    for (path, more) in [
        ("/inference_zero_shot", ("prompt_text", "A tone.")),
        ("/inference_cross_lingual", ("speed", "1")),
        ("/inference_instruct2", ("instruct_text", "Softly.")),
    ] {
        let answer = ask(
            &server,
            form(path, &[said, more], ("prompt_wav", &recording())),
        )
        .await;
        let status = answer.status;
        assert_eq!(
            status,
            StatusCode::OK,
            "{path}: {:?}",
            String::from_utf8_lossy(&answer.body)
        );
        let heard = samples(&answer.body);
        assert!(
            !heard.is_empty() && heard.iter().all(|sample| *sample == HEARD),
            "{path}"
        );
    }
    let listed = get(&server, "/list_voices").await.json();
    assert!(!listed.to_string().contains("prompt_wav"), "{listed}");
}

#[tokio::test]
async fn prompts_that_cannot_be_used_are_refused_by_name() {
    let (_folder, server) = server_of_its_own();
    let texts = [("tts_text", "a"), ("prompt_text", "b")];
    let long = vec![0; 200_001];
    for (texts, file, status, word) in [
        (&texts[..], &b"RIFF"[..], 400, "prompt_wav"),
        (&texts[..], b"no audio at all", 400, "prompt_wav"),
        (&texts[..], &long, 413, "200000 bytes"),
        (&texts[..1], &recording(), 400, "prompt_text"),
        (&texts[1..], &recording(), 400, "tts_text"),
    ] {
        let request = form("/inference_zero_shot", texts, ("prompt_wav", file));
        let answer = ask(&server, request).await;
        let detail = answer.json()["detail"].to_string();
        assert_eq!(answer.status.as_u16(), status, "{detail}");
        assert!(detail.contains(word), "{word}: {detail}");
    }
}

#[tokio::test]
async fn a_new_voice_speaks_at_once_and_stays_until_it_is_deleted() {
    let (folder, server) = server_of_its_own();
    let texts = [("name", "tone 1"), ("transcript", "A tone.")];
    let add = || form("/v1/audio/voices", &texts, ("file", &recording()));
    let added = ask(&server, add()).await;
    assert_eq!(added.status, StatusCode::CREATED, "{:?}", added.json());
    assert_eq!(added.json()["name"], "tone 1");

    let speak = || {
        let body = json!({ "input": "a", "voice": "tone 1", "response_format": "pcm" });
        ask(&server, speech_request(&body))
    };
    let spoken = samples(&speak().await.body);
    assert!(spoken.iter().all(|sample| *sample == HEARD));
    let again = ask(&server, add()).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.json()["error"]["param"], "name");
    let kept = Bundle::open(folder.path()).expect("still a bundle");
    let voice = kept.voice("tone 1").expect("kept");
    assert_eq!(voice.transcript.as_deref(), Some("A tone."));

    let delete = || {
        let request = Request::delete("/v1/audio/voices/tone%201").body(Body::empty());
        ask(&server, request.expect("a request"))
    };
    assert_eq!(delete().await.json()["deleted"], true);
    assert_eq!(delete().await.status, StatusCode::NOT_FOUND);
    assert_eq!(speak().await.status, StatusCode::BAD_REQUEST);
    let kept = Bundle::open(folder.path()).expect("still a bundle");
    assert!(!kept.voice_names().contains(&"tone 1".to_owned()));
}

#[tokio::test]
async fn a_voice_needs_a_name_that_can_be_one_and_a_recording() {
    let (_folder, server) = server_of_its_own();
    for (texts, file, status, param) in [
        (
            &[("transcript", "a")][..],
            ("file", &*recording()),
            400,
            "name",
        ),
        (&[("name", "../a")], ("file", &recording()), 400, "name"),
        (&[("name", "")], ("file", &recording()), 400, "name"),
        (&[("name", "a")], ("file", b"no audio"), 400, "file"),
        (&[("name", "a")], ("file", b""), 400, "file"),
        (&[("name", "a")], ("other", &recording()), 400, "file"),
        (
            &[("name", "a"), ("model", "no-such")],
            ("file", &recording()),
            404,
            "model",
        ),
    ] {
        let answer = ask(&server, form("/v1/audio/voices", texts, file)).await;
        assert_eq!(answer.status.as_u16(), status, "{texts:?}");
        assert_eq!(answer.json()["error"]["param"], param, "{texts:?}");
    }
}

#[tokio::test]
async fn a_bug_in_hearing_is_one_requests_trouble() {
    let (_folder, server) = server_of_its_own();
    let add = |name| {
        form(
            "/v1/audio/voices",
            &[("name", name)],
            ("file", &recording()),
        )
    };
    let unlucky = ask(&server, add("unlucky")).await;
    assert_eq!(unlucky.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(&server, add("lucky")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn uploads_are_held_a_few_at_a_time() {
    let (_folder, server) = server_of_its_own();
    let texts = [("tts_text", "a")];
    let upload = || {
        form(
            "/inference_cross_lingual",
            &texts,
            ("prompt_wav", &recording()),
        )
    };
    let all = server.state.uploads.try_acquire_many(2).expect("two");
    let refused = ask(&server, upload()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.number("retry-after") >= 1.0);
    drop(all);
    for _ in 0..3 {
        assert_eq!(ask(&server, upload()).await.status, StatusCode::OK);
    }
}
