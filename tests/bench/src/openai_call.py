"""The call of `cupola invoke`, made with the OpenAI SDK: `python openai_call.py < request.json`. The request is what the daemon sends."""

import json
import sys
import urllib.parse

from openai import OpenAI

request = json.load(sys.stdin)
url = urllib.parse.urlsplit(request["url"])
client = OpenAI(
    # The SDK adds the name of the resource itself.
    base_url=url._replace(path=url.path.removesuffix("/responses"), query="").geturl(),
    api_key=request["token"],
    default_query=dict(urllib.parse.parse_qsl(url.query)),
    default_headers=request["headers"],
    max_retries=0,
)
body = request["body"]
text = ""
for event in client.responses.create(input=body.pop("input"), stream=True, extra_body=body):
    if event.type == "response.output_text.delta":
        text += event.delta
print(text)
# A call that was refused, or that nobody answered, is not a measure.
sys.exit(not text)
