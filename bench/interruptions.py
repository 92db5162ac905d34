#!/usr/bin/env python3
"""Kills and full disks: does a run that was stopped anywhere end in the same bytes?

    bench/interruptions.py calibration [kills]   kills at random points of search, repair and writing, then --resume
    bench/interruptions.py download [kills]      kills at random points of a download from a hub on this machine
    bench/interruptions.py disk                  a disk that is full at each file, on tmpfs of growing size (needs root)

Each says what it did and ends with status 1 where a byte differs. KVSHARE names another launcher, SEED other points.
"""

import hashlib
import http.server
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KVSHARE = os.environ.get("KVSHARE", str(ROOT / "kvshare"))
CALIBRATE = ["calibrate", "--method", "share", "--keep", "75%", "--quiet", "--force", "-o", "policy.json"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def digests(folder):
    """The digest of each file, but for the report, which tells when it was made."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix not in (".html", ".lock")
    }


def start(folder, arguments, environment=None):
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [KVSHARE, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | (environment or {}),
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(folder, arguments, seconds=None, environment=None):
    """Runs a command; killed after so many seconds. Returns its exit status (None where killed) and what it said."""
    process = start(folder, arguments, environment)
    try:
        return process.wait(timeout=seconds), process.stdout.read()
    except subprocess.TimeoutExpired:
        kill(process)
        return None, process.stdout.read()


def tested(folder):
    """Plans in the journal of a search."""
    journal = folder / "policy.json.journal"
    return journal.read_text().count("\n") - 1 if journal.exists() else -1


def watch(process, until):
    """Waits for something while a process runs; whether it came."""
    while process.poll() is None:
        if until():
            return True
        time.sleep(0.001)
    return False


def left(folder):
    """What a killed run left."""
    return f"{max(0, tested(folder))} plans in the journal; files " + ", ".join(
        sorted(file.name for file in folder.iterdir())
    )


def calibration(work, kills):
    folder = work / "whole"
    begin = time.time()
    process = start(folder, CALIBRATE)
    plans, searched = 0, begin
    while process.poll() is None:
        if tested(folder) > plans:
            plans, searched = tested(folder), time.time()
        time.sleep(0.01)
    assert process.returncode == 0, process.stdout.read()
    repair = time.time() - searched
    print(f"whole: {plans} plans searched in {searched - begin:.1f} s, then {repair:.1f} s of repair and writing")
    whole = digests(folder)
    print(whole, flush=True)
    done = chains = 0
    equal = True
    while done < kills:
        folder = work / f"chain{chains}"
        chains += 1
        killed = 0
        while True:
            process = start(folder, CALIBRATE + (["--resume"] if killed else []))
            kind = ("search", "repair", "writing")[random.randrange(3)] if done < kills and killed < 3 else None
            if kind == "search":
                some = random.randrange(plans)
                watch(process, lambda: tested(folder) >= some)
            elif kind:
                watch(process, lambda: tested(folder) >= plans)
            if kind == "repair":
                time.sleep(random.uniform(0, 0.9) * repair)
            elif kind == "writing":
                some = random.choice((".tmp", ".new", "policy.json"))
                watch(process, lambda: any(some in file.name for file in folder.iterdir()))
                time.sleep(random.uniform(0, 0.02))
            if kind is None or process.poll() is not None:
                said = process.communicate()[0]
                break
            kill(process)
            done, killed = done + 1, killed + 1
            print(f"kill {done} in {kind}: {left(folder)}", flush=True)
        same = process.returncode == 0 and digests(folder) == whole
        equal &= same
        print(f"chain {chains} of {killed} kills: {'equal' if same else digests(folder)}", flush=True)
        if process.returncode != 0:
            print(said)
    print(f"{done} kills in {chains} chains: {'all equal' if equal else 'NOT EQUAL'}")
    return equal


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub with one model, which sends its weights slowly."""

    protocol_version = "HTTP/1.1"
    files = {}

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        name = self.path.rsplit("/", 1)[-1]
        if "/api/models/" in self.path:
            siblings = ", ".join(f'{{"rfilename": "{file}"}}' for file in self.files)
            content = f'{{"sha": "{COMMIT}", "siblings": [{siblings}]}}'.encode()
            tag = None
        elif name in self.files:
            content = self.files[name]
            tag = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            if name.endswith(".safetensors"):
                tag = hashlib.sha256(content).hexdigest()
        else:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        if tag:
            self.send_header("ETag", f'"{tag}"')
        self.end_headers()
        for at in range(start, len(content) if body else 0, 16384):
            try:
                self.wfile.write(content[at : at + 16384])
            except OSError:
                return
            time.sleep(0.02)


def download(work, kills):
    golden = ROOT / "apply/src/test/resources/goldens/architectures/llama"
    Hub.files = {file.name: file.read_bytes() for file in golden.iterdir() if file.name in ("config.json", "model.safetensors")}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0"}
    ask = ["inspect", "org/name"]
    begin = time.time()
    status, said = run(work / "whole", ask, None, environment | {"HF_HOME": str(work / "whole")})
    seconds = time.time() - begin
    assert status == 0, said
    whole = digests(work / "whole")
    done = chains = resumed = 0
    equal = True
    while done < kills:
        folder = work / f"chain{chains}"
        chains += 1
        killed = 0
        while True:
            point = random.uniform(0.2, 1.0) * seconds if done < kills and killed < 4 else None
            status, said = run(folder, ask, point, environment | {"HF_HOME": str(folder)})
            if status is not None:
                break
            done, killed = done + 1, killed + 1
            held = sum(file.stat().st_size for file in folder.rglob("*incomplete*") if file.is_file())
            resumed += held > 0
            print(f"kill {done} after {point:.2f} of {seconds:.2f} s: {held:,} bytes of an unfinished file", flush=True)
        same = status == 0 and digests(folder) == whole
        equal &= same
        print(f"chain {chains} of {killed} kills: status {status}, {'equal' if same else digests(folder)}", flush=True)
        if status != 0:
            print(said)
    print(f"{done} kills in {chains} chains, {resumed} within a file: {'all equal' if equal else 'NOT EQUAL'}")
    return equal


def disk(work, _):
    """The files of one run take some size; on each smaller disk, what is there is whole or as it was."""
    arguments = [*CALIBRATE, "--report", "report.html", "--save-stats=statistics.safetensors"]
    status, said = run(work / "whole", arguments)
    assert status == 0, said
    whole = digests(work / "whole")
    sizes = {file.name: file.stat().st_size for file in (work / "whole").iterdir() if file.is_file()}
    print(sizes)
    mount = work / "disk"
    mount.mkdir()
    good = True
    page = os.sysconf("SC_PAGE_SIZE")
    pages_of = {name: -(-size // page) for name, size in sizes.items()}
    # A page is the folder's, and two or more are the journal's.
    order = ["policy.safetensors", "policy.json", "statistics.safetensors", "report.html"]
    points = [2] + [3 + sum(pages_of[one] for one in order[:i]) + pages_of[name] // 2 for i, name in enumerate(order)]
    for pages in [*points, 16 + sum(pages_of.values())]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * page}", "tmpfs", mount], check=True)
        try:
            status, said = run(mount, arguments)
            left = digests(mount)
            complete = all((mount / name).exists() for name in order)
            wrong = {name for name in left if name in whole and left[name] != whole[name]}
            odd = [name for name in left if ".tmp" in name or "Exception in" in said or "\tat " in said]
            good &= not wrong and not odd and (status == 0) == complete
            print(f"{pages} pages: status {status}; there: {', '.join(left) or 'nothing'}; {said.strip()[-300:]!r}", flush=True)
            if wrong or odd:
                print(f"  WRONG {wrong} {odd}")
        finally:
            subprocess.run(["umount", mount], check=True)
    print("each file is whole or not there" if good else "NOT WHOLE")
    return good


def main():
    kinds = {"calibration": calibration, "download": download, "disk": disk}
    if len(sys.argv) < 2 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    random.seed(int(os.environ.get("SEED", "17")))
    work = pathlib.Path(tempfile.mkdtemp(prefix="interruptions-"))
    try:
        sys.exit(0 if kinds[sys.argv[1]](work, int(sys.argv[2]) if len(sys.argv) > 2 else 20) else 1)
    finally:
        shutil.rmtree(work, ignore_errors=True)


main()
