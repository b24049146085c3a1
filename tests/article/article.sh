# Passing isolation keys to a hosted agent, command by command in the order of azd's own article on it, with `cupola` for
# `azd ai agent`. `tests/it/article.rs` runs each step with bash in an azd project, against an agent of container protocol
# 1.0.0 (keys) and then against one of 2.0.0 (identity), and holds it against the lines below the step:
#
#   #> exit 0                     how it ends; 0 when nothing is said
#   #> out TEXT, err TEXT         is in its standard output, or standard error
#   #> quiet                      standard error is empty
#   #> sent NAME: VALUE           a request that it made of the agent has this header
#   #> unsent NAME                none has
#   #> keep WORD = FIELD          from here on, WORD means this field of the JSON it printed
#
# `#1>` and `#2>` are for one of the two agents only. Steps in brackets are not the article's: they make what it presumes.

### [the agent was never used, and has a folder]
mkdir -p out
echo '{}' > seed.json

### invoke with both keys
cupola invoke \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42 \
  "Summarize the latest support tickets"
#> out echo: Summarize the latest support tickets
#1> quiet
#1> sent x-agent-user-isolation-key: tenant-acme
#1> sent x-agent-chat-isolation-key: thread-42
#2> sent x-ms-user-identity: tenant-acme

### user isolation only
cupola invoke --user-isolation-key tenant-acme "Hello"
#> out echo: Hello
#1> sent x-agent-user-isolation-key: tenant-acme
#1> unsent x-agent-chat-isolation-key
#2> sent x-ms-user-identity: tenant-acme

### chat isolation only
cupola invoke --chat-isolation-key thread-42 "Hello"
#> out echo: Hello
#1> sent x-agent-chat-isolation-key: thread-42
#> unsent x-agent-user-isolation-key
#> unsent x-ms-user-identity

### every invoke mode: version-pinned
cupola invoke --version 3 --user-isolation-key tenant-acme --chat-isolation-key thread-42 "Hello"
#> out echo: Hello
#1> sent x-agent-user-isolation-key: tenant-acme
#2> sent x-ms-user-identity: tenant-acme

### every invoke mode: local
cupola invoke --local --port $LOCAL_PORT --user-isolation-key tenant-acme --chat-isolation-key thread-42 "Hello"
#> out echo: Hello
#> sent x-agent-user-isolation-key: tenant-acme
#> sent x-agent-chat-isolation-key: thread-42
#> unsent authorization

### every invoke mode: by the agent's endpoint
cupola invoke \
  --agent-endpoint https://my-acct.services.ai.azure.com/api/projects/my-proj/agents/my-agent/endpoint/protocols/openai/responses?api-version=v1 \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42 \
  "Hello!"
#> out echo: Hello!
#1> sent x-agent-user-isolation-key: tenant-acme
#1> sent x-agent-chat-isolation-key: thread-42
#2> sent x-ms-user-identity: tenant-acme

### create a session owned by a specific key
cupola sessions create \
  --agent-name my-agent \
  --version 3 \
  --isolation-key sk-tenant-acme
#> keep sess_abc123 = agent_session_id
#> out "agent_version": "3"
#1> sent x-session-isolation-key: sk-tenant-acme

### [another ownership key may not delete it]
cupola sessions delete sess_abc123 --isolation-key sk-tenant-contoso
#> exit 3
#> err belongs to another ownership key
#> err --isolation-key
#1> sent x-session-isolation-key: sk-tenant-contoso

### later, delete it with the same key
cupola sessions delete sess_abc123 --isolation-key sk-tenant-acme
#> out Deleted session
#1> sent x-session-isolation-key: sk-tenant-acme

### [a session of the tenant's]
cupola sessions create --user-isolation-key tenant-acme
#> keep sess_abc123 = agent_session_id

### list with the user key
cupola sessions list   --user-isolation-key tenant-acme
#> out sess_abc123
#1> sent x-agent-user-isolation-key: tenant-acme
#2> sent x-ms-user-identity: tenant-acme

### show with the user key
cupola sessions show  sess_abc123 --user-isolation-key tenant-acme
#> out "agent_session_id": "sess_abc123"

### [the folder that the agent would have]
cupola files mkdir /data --user-isolation-key tenant-acme --chat-isolation-key thread-42
#> exit 0

### upload a file into an isolated session
cupola files upload ./seed.json \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42
#> out Uploaded ./seed.json -> seed.json
#1> sent x-agent-chat-isolation-key: thread-42
#2> sent x-ms-user-identity: tenant-acme

### list the files
cupola files ls /data \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42
#> out "entries"

### [the file is there]
cupola files ls --user-isolation-key tenant-acme --chat-isolation-key thread-42
#> out "seed.json"

### [and no other tenant sees it]
cupola files ls --user-isolation-key tenant-contoso --chat-isolation-key thread-42
#> exit 4
#> err no session

### monitor that session's logs in real time
cupola monitor --follow \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42
#> until POST /responses 200
#> exit 130
#> out   stdout   
#1> sent x-agent-user-isolation-key: tenant-acme
#2> sent x-ms-user-identity: tenant-acme

### if you forget the keys
cupola monitor
#> exit 4
#> err no session
#> err isolation keys

### verify the headers
cupola invoke \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42 \
  --output raw \
  "ping"
#> out HTTP/2.0 200 OK
#> out x-agent-session-id: 
#> out x-request-id: 
#> out event: response.completed
#> quiet

### and the request, well enough to repeat it with curl
cupola invoke \
  --user-isolation-key tenant-acme \
  --chat-isolation-key thread-42 \
  --output raw --debug \
  "ping"
#> out HTTP/2.0 200 OK
#> err > POST https://my-acct.services.ai.azure.com/api/projects/my-proj/agents/my-agent/endpoint/protocols/openai/responses?api-version=v1
#> err "input":"ping"
#> err curl 
#1> err > x-agent-user-isolation-key: tenant-acme
#2> err > x-ms-user-identity: tenant-acme

### loop per tenant
for tenant in acme contoso fabrikam; do
  echo "==> $tenant"
  cupola invoke \
    --user-isolation-key "tenant-$tenant" \
    --output raw \
    "Daily digest" \
    > "out/$tenant.json"
done
#> out ==> fabrikam
#1> sent x-agent-user-isolation-key: tenant-fabrikam
#2> sent x-ms-user-identity: tenant-fabrikam

### [each tenant has an answer from a separate session]
grep -l 'echo: Daily digest' out/*.json
echo "$(grep -h '^x-agent-session-id: ' out/*.json | sort -u | wc -l) sessions"
#> out out/acme.json
#> out out/contoso.json
#> out out/fabrikam.json
#> out 3 sessions

### wrap keys with environment variables
export USER_KEY="tenant-acme"
export CHAT_KEY="thread-42"

# A shell function that always passes the keys
function ai-invoke() {
  cupola invoke \
    --user-isolation-key "$USER_KEY" \
    --chat-isolation-key "$CHAT_KEY" \
    "$@"
}

ai-invoke "Hello"
ai-invoke --new-session "Start fresh"
#> out echo: Hello
#> out echo: Start fresh
#1> sent x-agent-chat-isolation-key: thread-42
#2> sent x-ms-user-identity: tenant-acme

### [the same function with a variable that is not set: as with azd, no such key is sent, and Cupola tells it]
USER_KEY="tenant-acme"
unset CHAT_KEY
function ai-invoke() {
  cupola invoke \
    --user-isolation-key "$USER_KEY" \
    --chat-isolation-key "$CHAT_KEY" \
    "$@"
}
ai-invoke "Hello without a chat"
#> out echo: Hello without a chat
#> err notice: --chat-isolation-key is empty, so none is sent
#1> sent x-agent-user-isolation-key: tenant-acme
#> unsent x-agent-chat-isolation-key
#2> sent x-ms-user-identity: tenant-acme

### [with an override on top: as with azd, the last one counts]
function ai-invoke() {
  cupola invoke \
    --user-isolation-key "tenant-acme" \
    --chat-isolation-key "thread-42" \
    "$@"
}
ai-invoke --user-isolation-key tenant-contoso --new-session=true -o raw -o default "Hello from another tenant"
#> out echo: Hello from another tenant
#1> sent x-agent-user-isolation-key: tenant-contoso
#1> sent x-agent-chat-isolation-key: thread-42
#2> sent x-ms-user-identity: tenant-contoso

### keys in a CI pipeline
USER_KEY=tenant-acme CHAT_KEY=thread-42 CI=true bash -e -c '
    cupola invoke \
      --user-isolation-key "$USER_KEY" \
      --chat-isolation-key "$CHAT_KEY" \
      --no-prompt --output raw \
      "Run nightly summary"
'
#> out HTTP/2.0 200 OK
#> out echo: Run nightly summary
#> quiet

### symptom: 403 on invoke, the agent requires keys and none were passed
cupola invoke --agent-name my-strict-agent "Hello"
#1> exit 3
#1> err no isolation key was given
#1> err --user-isolation-key
#2> out echo: Hello

### symptom: the same, confirmed with the whole answer
cupola invoke --agent-name my-strict-agent --output raw "Hello"
#1> exit 3
#1> out HTTP/2.0 403 Forbidden
#1> out missing_isolation_key
#2> out HTTP/2.0 200 OK

### symptom: 403 even though keys are set
cupola invoke --session-id sess_abc123 --allow-shared-session --user-isolation-key tenant-contoso --debug "Hello"
#1> err > x-agent-user-isolation-key: tenant-contoso
#1> exit 3
#1> err was made under another isolation
#1> err HTTP 403
#2> out echo: Hello

### symptom: session not found on show, files and monitor
cupola sessions show sess_abc123 --user-isolation-key tenant-contoso
#> exit 3
#> err belongs to another isolation

### symptom: the same, for a session that was made on another machine
XDG_STATE_HOME=$PWD/elsewhere cupola sessions show --no-daemon sess_abc123 --user-isolation-key tenant-contoso
#1> exit 4
#1> err was made under other isolation keys than those given
#2> out "agent_session_id": "sess_abc123"

### symptom: cannot delete a session after switching users
cupola sessions create --user-isolation-key tenant-acme --isolation-key sk-tenant-acme >made.json
cupola sessions delete "$(grep -o '"agent_session_id": "[^"]*"' made.json | cut -d '"' -f 4)" \
  --user-isolation-key tenant-acme --isolation-key sk-tenant-contoso
#> exit 3
#> err belongs to another ownership key
#> err --isolation-key

### symptom: a local invoke ignores the flags
cupola invoke --local --port $LOCAL_PORT --user-isolation-key tenant-contoso "Hello"
#> out echo: Hello
#> err local agents don't enforce isolation

### unsupported there: keys from the environment
CUPOLA_USER_ISOLATION_KEY=tenant-acme CUPOLA_CHAT_ISOLATION_KEY=thread-42 cupola invoke "Hello"
#> out echo: Hello
#> quiet
#1> sent x-agent-user-isolation-key: tenant-acme
#1> sent x-agent-chat-isolation-key: thread-42
#2> sent x-ms-user-identity: tenant-acme

### [and without them]
CUPOLA_USER_ISOLATION_KEY=tenant-acme cupola invoke --no-env "Hello"
#> out echo: Hello
#> unsent x-agent-user-isolation-key
#> unsent x-ms-user-identity

### unsupported there: any other header, with curl to the agent's URL
cupola agents show -o table
#> out https://my-acct.services.ai.azure.com/api/projects/my-proj/agents/my-agent
