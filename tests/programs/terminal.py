"""A program in a terminal, dumped while it waits for keys and restored in another terminal.

terminal.py FOLDER JCR PROGRAM: what it said is printed; ends with 0 if the program noticed nothing.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time

folder, jcr, program = sys.argv[1:4]


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.closerange(3, 256)
            os.environ.update(TERM="xterm", PS1="ready> ", LC_ALL="C")
            os.execvp(command[0], command)
        self.seen = ""

    def read(self, seconds):
        end = time.time() + seconds
        while time.time() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    return
                if not data:
                    return
                self.seen += data.decode("latin-1")
                return

    def expect(self, pattern):
        end = time.time() + 60
        while not re.search(pattern, self.seen):
            if time.time() > end:
                sys.exit("%s did not say %s but %r" % (program, pattern, self.seen[-2000:]))
            self.read(1)
        self.seen = ""

    def rest(self):
        """Reads until it is quiet."""
        before = None
        while before != self.seen:
            before = self.seen
            self.read(0.5)
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())


text = os.path.join(folder, "text")
image = os.path.join(folder, "image")
start = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "vim": ["vi", "-u", "NONE", "-n", text],
    "nano": ["nano", "-I", text],
}[program]
terminal = Terminal(start)
if program == "bash":
    terminal.expect("ready> ")
    terminal.type("x=40; f() { x=$((x+1)); }; cd /; f\n")
    terminal.expect("ready> ")
    terminal.type("echo half")  # not yet a line
else:
    terminal.rest()
    terminal.type("ihello" if program == "vim" else "hello")
terminal.rest()

dump = subprocess.run([jcr, "dump", str(terminal.pid), "-D", image], capture_output=True, text=True)
print(dump.stdout + dump.stderr)
if dump.returncode:
    sys.exit("the dump ended with %d" % dump.returncode)
os.waitpid(terminal.pid, 0)

terminal = Terminal([jcr, "restore", image])
terminal.expect("restored process")
if program == "bash":
    terminal.type(" a word; f; echo x is $x in $PWD\n")
    terminal.expect("half a word\r?\n(.*\n)?.*x is 42 in /\r?\n")
    terminal.type("exit 7\n")
elif program == "vim":
    terminal.type(" world\x1b:wq\r")
else:
    terminal.type(" world\x0f\r\x18")
status = None
end = time.time() + 30
while status is None and time.time() < end:
    terminal.read(0.2)
    pid, code = os.waitpid(terminal.pid, os.WNOHANG)
    status = os.waitstatus_to_exitcode(code) if pid else None
if status != (7 if program == "bash" else 0):
    sys.exit("%s ended with %s: %r" % (program, status, terminal.seen[-2000:]))
if program != "bash":
    with open(text) as file:
        content = file.read()
    if content != "hello world\n":
        sys.exit("the file has %r" % content)
print(program + ": noticed nothing")
