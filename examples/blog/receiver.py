"""Receives the webhook of this example: `python3 receiver.py PORT`, the secret on standard input.

Takes what is signed with the secret and refuses the rest. Needs `pip install standardwebhooks`.
"""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(sys.stdin.read().strip())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        try:
            told = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            return self.answer(401, f"refused: {error}")
        self.answer(204, f"{told['type']}: {told['data']['doc']['title']}")

    def answer(self, status, line):
        print(line, flush=True)
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing of its own."""


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
