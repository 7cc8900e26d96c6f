"""A build gets what pip here needs to reach packages, and nothing that it could not use."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

from .pip_settings import CERTIFICATES, PipSettings


def _parsed(settings: PipSettings) -> dict[str, dict[str, str]]:
    parser = RawConfigParser()
    parser.read_string(settings.text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_variables_count_more_than_files() -> None:
    listed = "global.timeout='15'\ninstall.timeout='20'\n:env:.timeout='30'\ninstall.pre='true'\n"
    assert _parsed(PipSettings.parse(listed, {})) == {
        "global": {"timeout": "30"},
        "install": {"pre": "true"},
    }


def test_several_indexes_stay_several() -> None:
    first, second = "https://one.invalid/packages", "https://two.invalid/packages"
    listed = f"global.extra-index-url='{first}\\n{second}'\n"
    parsed = _parsed(PipSettings.parse(listed, {}))
    assert parsed["global"]["extra-index-url"].split() == [first, second]


def test_folders_of_this_machine_are_left_out() -> None:
    listed = (
        "global.find-links='/srv/wheels https://one.invalid/wheels'\n"
        "global.extra-index-url='file:///srv/packages'\n"
        "global.cache-dir='/srv/cache'\n"
    )
    parsed = _parsed(PipSettings.parse(listed, {}))
    assert parsed == {"global": {"find-links": "https://one.invalid/wheels"}}


def test_certificates_are_named_by_their_place_in_the_build(tmp_path: Path) -> None:
    file = tmp_path / "authorities.pem"
    file.touch()
    for listed, environment in (
        (f"global.cert='{file}'\n", {}),
        (f":env:.cert='{file}'\n", {"SSL_CERT_FILE": "/nowhere/else.pem"}),
        ("", {"REQUESTS_CA_BUNDLE": str(file)}),
    ):
        settings = PipSettings.parse(listed, environment)
        assert settings.certificates == file
        assert _parsed(settings) == {"global": {"cert": CERTIFICATES}}
    assert PipSettings.parse("", {"SSL_CERT_FILE": "/nowhere/else.pem"}).certificates is None


def test_proxies_are_named_in_either_spelling() -> None:
    environment = {"HTTPS_PROXY": "https://proxy.invalid:3128", "no_proxy": "localhost"}
    assert PipSettings.parse("", environment).proxies == ("no_proxy", "HTTPS_PROXY")


def test_this_machine_has_settings_that_can_be_read() -> None:
    assert "global" in _parsed(PipSettings.of_this_machine())
