"""docs/deploy: the file is valid, the table says why each line is there, and the numbers are those of the code.

That streams go through it in time is shown by the cases J1, J5 and J6.
"""

import re
import shutil
import socket
import subprocess
from pathlib import Path

from penstock import app
from penstock.config.units import parse_duration, parse_size
from penstock.config.values import Server
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery

FOLDER = Path(__file__).parents[2] / "docs" / "deploy"
CONF = (FOLDER / "nginx.conf").read_text()
TABLE = re.findall(r"^\| `([^`]+)` \| (.+) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
DIRECTIVES = re.findall(r"^\s+([a-z_]+) ([^;{]+);", CONF, re.MULTILINE)
OBVIOUS = {"listen", "server_name", "proxy_pass"}
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def value(name: str) -> str:
    """Of a directive that is there once."""
    (found,) = [setting for directive, setting in DIRECTIVES if directive == name]
    return found


def test_each_line_is_explained_and_nothing_else_is() -> None:
    lines = [f"{name} {setting}" for name, setting in DIRECTIVES if name not in OBVIOUS]
    assert [line for line, _ in TABLE] == lines
    assert all(len(why) > 20 for _, why in TABLE)


def test_nginx_takes_the_file(tmp_path: Path) -> None:
    assert Path(NGINX).exists(), "nginx is missing: run tools/install-test-services"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "site.conf").write_text(CONF.replace("listen 80;", f"listen 127.0.0.1:{port};"))
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {temporary} include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(main)
    command = [NGINX, "-t", "-q", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-g", "error_log stderr;"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_numbers_fit_the_defaults_of_the_gateway() -> None:
    delivery = Delivery()
    assert parse_size(value("client_max_body_size") + "iB") == Server().max_body
    assert parse_duration(value("keepalive_timeout")) < app.KEEP_ALIVE
    assert delivery.keepalive is not None and delivery.commit_after is not None
    longest = max(delivery.keepalive, delivery.commit_after)
    assert parse_duration(value("proxy_read_timeout")) >= 2 * longest
    assert delivery.slow_client.timeout is not None
    assert parse_duration(value("send_timeout")) > delivery.slow_client.timeout
    assert value("server") == f"{Server().host}:{Server().port}"


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    text = " ".join(why for _, why in TABLE)
    delivery, total = Delivery(), Deadlines().total
    assert total is not None
    assert f"`delivery.commit_after` ({delivery.commit_after:g} s)" in text
    assert f"`delivery.keepalive` ({delivery.keepalive:g} s)" in text
    assert f"`delivery.slow_client.timeout` ({delivery.slow_client.timeout:g} s)" in text
    assert f"the {app.KEEP_ALIVE} s after which Penstock closes" in text
