"""Runs in the guest: requests, each on a new connection, while a command runs.

    client.py COMMAND ARGUMENT ...

Two clients list documents and one calls a function, all from before the command until ten answers of each came
after it. Prints what was not answered with 200, and last how many were and were not.
"""
import http.client
import subprocess
import sys
import threading

AFTER = 10
done = threading.Event()
lock = threading.Lock()
good, bad = 0, []


def once(method, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", 8090, timeout=180)
    try:
        headers = {"connection": "close", "content-type": "application/json"} if body else {"connection": "close"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        return None if answer.status == 200 else f"{answer.status} {text.decode()}"
    except OSError as error:
        return repr(error)
    except http.client.HTTPException as error:
        return repr(error)
    finally:
        connection.close()


def client(method, path, body=None):
    global good
    after = 0
    while after < AFTER:
        after += done.is_set()
        problem = once(method, path, body)
        with lock:
            if problem is None:
                good += 1
            else:
                bad.append(f"{method} {path}: {problem}")


threads = [
    threading.Thread(target=client, args=("GET", "/api/collections/notes?count=true")),
    threading.Thread(target=client, args=("GET", "/api/collections/notes?count=true")),
    threading.Thread(target=client, args=("POST", "/api/functions/hello-python", "{}")),
]
for thread in threads:
    thread.start()
command = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
done.set()
for thread in threads:
    thread.join()
if command.returncode:
    print(command.stdout)
print("\n".join(bad[:20]))
print(f"{good} answered, {len(bad)} not")
sys.exit(command.returncode)
