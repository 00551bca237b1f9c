import ast
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2.ext import extract_from_ast

from analysis import language
from analysis.language import Text, attributes, both, drawn, join, of_locale, pattern, read, say, words
from analysis.words import counted

SAYERS = ("say", "words", "pattern")
KNOWN = {
    "said": {
        "; ": "/",
        "Graphs gain {gain:.1f} times": "CUDA Graph 提速 {gain:.1f} 倍",
        "off": "关",
        "{what} again": "再来 {what}",
    },
    "read": {
        "starts spread over {percent} %": "各次启动相差 {percent} %",
        "graphs {graphs}: {told}": "{graphs} {told}",
    },
    "drawn": {"{panel} ({half} only)": "{panel}（仅{half}）", "GPU, by\ngraphs": "GPU 按\n图"},
}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(language, "catalogue", lambda: KNOWN)
    language._shapes.cache_clear()
    yield
    language._shapes.cache_clear()


@pytest.mark.usefixtures("known")
def test_a_message_is_said_in_both_languages_with_its_fields() -> None:
    text = say("Graphs gain {gain:.1f} times", gain=4.43)
    assert (text, text.zh) == ("Graphs gain 4.4 times", "CUDA Graph 提速 4.4 倍")


@pytest.mark.usefixtures("known")
def test_a_field_that_is_text_itself_is_said_in_the_language_of_its_message() -> None:
    text = say("{what} again", what=say("off"))
    assert (text, text.zh) == ("off again", "再来 关")


@pytest.mark.usefixtures("known")
def test_without_chinese_there_is_english_alone() -> None:
    assert say("unknown {n}", n=1).__html__() == "unknown 1"


@pytest.mark.usefixtures("known")
def test_html_holds_both_languages_escaped_each_with_its_tag() -> None:
    shown = jinja2.Environment(autoescape=True).from_string("<p>{{ text }}</p>").render(text=Text("a <b>", "甲 <乙>"))
    assert shown == '<p><span lang="en">a &lt;b&gt;</span><span lang="zh-Hans">甲 &lt;乙&gt;</span></p>'


@pytest.mark.usefixtures("known")
def test_attributes_are_english_with_the_chinese_for_the_script() -> None:
    shown = str(attributes(alt=Text('a "b"', '甲 "乙"'), aria_label="plain", text=Text("t", "文")))
    assert shown.startswith('alt="a &quot;b&quot;" aria-label="plain" data-zh="')
    held = shown.split('data-zh="')[1].removesuffix('"').replace("&quot;", '"')
    assert json.loads(held) == {"alt": '甲 "乙"', "text": "文"}


@pytest.mark.usefixtures("known")
def test_texts_are_joined_in_each_language() -> None:
    text = join(Text("; ", "/"), [say("off"), "vLLM"])
    assert both(text) == {"en": "off; vLLM", "zh": "关/vLLM"}


@pytest.mark.usefixtures("known")
def test_text_kept_as_english_is_recognised_part_for_part() -> None:
    text = read("graphs off: starts spread over 12 %; 3 < 4")
    assert both(text) == {"en": "graphs off: starts spread over 12 %; 3 < 4", "zh": "off 各次启动相差 12 %/3 < 4"}


@pytest.mark.usefixtures("known")
def test_what_stands_in_brackets_is_one_part_and_fields_are_read_too() -> None:
    text = read("graphs off: graphs on: starts spread over 12 %; why (a; b)")
    assert text.zh == "off on 各次启动相差 12 %/why (a; b)"


@pytest.mark.usefixtures("known")
def test_words_of_a_figure_are_found_as_a_whole_else_line_by_line_and_within_each_other() -> None:
    assert drawn("off\nvLLM TP1 (off only)").zh == "关\nvLLM TP1（仅关）"
    assert drawn("GPU, by\ngraphs").zh == "GPU 按\n图"
    assert drawn("unknown") == drawn("unknown").zh == "unknown"
    assert drawn(Text("off", "停")).zh == "停"


@pytest.mark.usefixtures("known")
def test_a_pattern_keeps_its_fields_open() -> None:
    assert both(pattern("{what} again")) == {"en": "{what} again", "zh": "再来 {what}"}


@pytest.mark.usefixtures("known")
def test_several_words_are_said_at_once() -> None:
    assert [word.zh for word in words("off", "vLLM")] == ["关", "vLLM"]


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_a_locale_asks_for_chinese_or_else_for_english(environment: dict[str, str], language: str) -> None:
    assert of_locale(environment) == language


def test_a_text_survives_another_process() -> None:
    assert pickle.loads(pickle.dumps(Text("off", "关"))).zh == "关"


def test_no_message_of_the_catalogue_is_unused(root: Path) -> None:
    assert sorted(set(language.catalogue()["said"]) - set(_said(root))) == []


def test_every_message_has_its_chinese(root: Path) -> None:
    assert sorted(set(_said(root)) - set(language.catalogue()["said"])) == []


def test_both_languages_of_a_message_have_the_same_fields() -> None:
    entries = [entry for table in language.catalogue().values() for entry in table.items()]
    assert [english for english, chinese in entries if _fields(english) != _fields(chinese)] == []


def test_no_message_that_is_read_is_unknown_to_the_code(root: Path) -> None:
    made = [re.compile(".*".join(map(re.escape, parts)), re.DOTALL) for parts in _texts(root)]
    sizes = [sum(map(len, parts)) for parts in _texts(root)]
    for message in [*language.catalogue()["read"], *language.catalogue()["drawn"]]:
        size = len(re.sub(r"\{\w+\}", "", message))
        text = re.sub(r"\{\w+\}", "1", message)
        assert any(one.fullmatch(text) for one, least in zip(made, sizes, strict=True) if least >= size - 1), message


def test_messages_are_literals(root: Path) -> None:
    assert [place for message, place in _all_said(root) if message is None] == []


def test_messages_of_python_and_of_templates_are_found(tmp_path: Path) -> None:
    (tmp_path / "analysis" / "templates").mkdir(parents=True)
    (tmp_path / "analysis" / "a.py").write_text('language.say("one " "two")\nwords("three", x)')
    (tmp_path / "analysis" / "templates" / "b.html").write_text('{% if x %}{{ say("four {n}", n=1) }}{% endif %}')
    assert [message for message, _ in _all_said(tmp_path)] == ["one two", "three", None, "four {n}"]


def _fields(message: str) -> list[str]:
    return sorted(re.findall(r"\{[^}]*\}", message))


def _texts(root: Path) -> list[list[str]]:
    """What stands between the fields of every string that tables may hold: f-strings, counts, checks by their names."""
    found = []
    launching = [path for name in ("engines", "drivers") for path in (root / "launch" / name).glob("*.py")]
    studying = [root / "study" / f"{name}.py" for name in ("agreement", "fit", "judge", "models", "plan", "runner")]
    for path in sorted([*(root / "analysis").rglob("*.py"), *studying, *launching]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.split(r"\{[^}]*\}", node.value))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "counted":
                word = str(ast.literal_eval(node.args[1]))
                found += [["", counted(number, word).removeprefix(f"{number}")] for number in (1, 2)]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "checked":
                found.append([f"{ast.literal_eval(node.args[0])}: ", ""])
            elif isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
                found.append(text.split("\0"))
    return [*found, *(part.split("\0") for text in map("\0".join, found) for part in _parts(text))]


def _parts(text: str) -> list[str]:
    """What is read one by one of a text; and what a published record keeps of why a case failed."""
    return [*text.split("; "), text.partition(":")[0]]


def _said(root: Path) -> list[str]:
    return [message for message, _ in _all_said(root) if message is not None]


def _all_said(root: Path) -> Iterator[tuple[str | None, str]]:
    """Every message that analysis/ says, None where it is no literal, and where."""
    for path in sorted((root / "analysis").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in SAYERS:
                given = node.args if ast.unparse(node.func).endswith("words") else node.args[:1]
                for each in given:
                    literal = str(each.value) if isinstance(each, ast.Constant) else None
                    if literal is not None or path.name != "language.py":
                        yield literal, f"{path.name}:{node.lineno}"
    environment = jinja2.Environment()
    for path in sorted((root / "analysis" / "templates").glob("*.*")):
        parsed = environment.parse(path.read_text(encoding="utf-8"))
        for line, function, messages in extract_from_ast(parsed, SAYERS):
            for message in (messages,) if isinstance(messages, str) else messages[: None if function == "words" else 1]:
                yield message, f"{path.name}:{line}"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("out of memory while starting", "启动时显存不足"),
        ("out of memory while starting: CUDA out of memory.", "启动时显存不足：CUDA out of memory."),
        ("load error: KeyError: lm_head", "加载失败：KeyError：lm_head"),
        ("crash: the engine ended with signal 9 while measuring", "崩溃：引擎在测量时退出（信号 9）"),
        ("time-out: nothing heard for 600 s while warming up", "超时：预热时有 600 s 没有任何消息"),
        (
            "engine error while warming up: RuntimeError: none of 4 warm-up requests was answered in full; "
            "the first: y",
            "预热时引擎出错：RuntimeError：4 个预热请求没有一个得到完整的回答；第一个：y",
        ),
        ("graphs on was asked, but the engine resolved graphs off", "要求 graphs 开，引擎实际为 graphs 关"),
        ("28 attention heads are not divisible by TP 8", "28 个注意力头不能被 TP 8 整除"),
        (
            "tp1dp2: replicas decode a steady batch as one does alone; measure them with the workload serve",
            "tp1dp2：固定 batch 时，各副本的 decode 与单个副本无异；请用 serve 负载来测",
        ),
    ],
)
def test_why_cases_failed_and_were_skipped_is_read_in_chinese(reason: str, told: str) -> None:
    assert read(reason).zh == told


def test_what_a_program_said_itself_stays_as_it_was() -> None:
    assert read("ValueError: the server dropped 3 of them").zh == "ValueError: the server dropped 3 of them"
