"""Records what the Python packages behind CosyVoice's text front end say, for the tests of `src/frontend/text`.

    pip install wetext==0.0.9 kaldifst==1.8.3 tiktoken
    python record_text.py multilingual.tiktoken     # out of openai-whisper 20250625, SHA-256 b34b360d...

`wetext.json`: sentences and their normalisation. `whisper_subset.tiktoken`: the rows of Whisper's vocabulary that can
occur in `text.json`, and its last one, behind which the special tokens start. A byte pair encoding only ever meets
tokens that are substrings of the text, so on these texts the subset gives the ids of the whole.
"""

import base64
import json
import sys
from pathlib import Path

from wetext import Normalizer

HERE = Path(__file__).parent

ENGLISH = [
    "I have 234 apples.", "It costs $1,234.56 on Jan 3, 2024.", "18.75% of 1,234 people", "Call 555-1234 at 5:30 p.m.",
    "The 5th Ave. No. 7", "3 cats", "Dr. Smith paid 20 dollars", "version 2.5.1", "room 101, 2nd floor", "100",
    "12345678901", "May 5, 1999", "5 km/h", "half 1/2", "He said 3.", "No digits & stuff", "a & b 3", "www.abc.com 3",
    "a@b.com 4", "  spaces  1  ", "It's \"quoted 7\" text", "1900s music", "-5 degrees", "10:00", "€ 20, £30", "1st and 2nd",
    "\\ { } 3", "0", "007", "é 4 ü", "emoji 😀 5", "tab\t6",
]
CHINESE = [
    "今天是2024年1月15日", "价格是￥1,234.56元", "18.75%的人", "下午3:30", "电话13800138000", "温度-5℃", "版本1.5已发布, 请更新",
    "面积是5m²", "1/2", "3个", "比分3:2", "没有数字，no digits", "他说：“3个”然后走了", "A B 3 中文 C D", "１２３个", "1+1=2等于",
    "5kg", "2024-01-15 中", "第3名", "20岁", "10086号", "3.14是圆周率", "一共100000000元", "\\ { } \" 3 中", "哪儿有5个花儿", "ISO9001认证",
    "192.168.1.1端口", "😀 3 个",
]


def record_wetext() -> None:
    record = {}
    for language, texts in (("zh", CHINESE), ("en", ENGLISH)):
        normalizer = Normalizer(lang=language, remove_erhua=False)
        record[language] = [[text, normalizer.normalize(text)] for text in texts]
    write("wetext.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def record_subset(vocabulary: Path) -> None:
    golden = json.loads((HERE / "text.json").read_text())
    texts = [segment for case in golden["cases"] for segment in case.get("segments", [])]
    texts += [case["text"] for case in golden["whisper_tokens"]]
    corpus = [text.encode() for text in texts]
    lines = vocabulary.read_text().splitlines()
    kept = [line for line in lines if can_occur(base64.b64decode(line.split()[0]), corpus)]
    write("whisper_subset.tiktoken", "\n".join(dict.fromkeys([*kept, lines[-1]])) + "\n")


def can_occur(token: bytes, corpus: list[bytes]) -> bool:
    return len(token) == 1 or any(token in text for text in corpus)


def write(name: str, text: str) -> None:
    (HERE / name).write_text(text)
    print(HERE / name, len(text.encode()), "bytes")


if __name__ == "__main__":
    record_wetext()
    record_subset(Path(sys.argv[1]))
