// Asks whether Jane Doe is covered and follows the answer, with graphql-ws, the official client.
// It outlives cuts, restarts and deploys of the server: every event comes once, in order.
//
//   npm install graphql-ws ws        # beside this file; `ws` only for Node before 22
//   node follow.mjs http://127.0.0.1:8000/graphql TOKEN
//
// Prints each event as a line of JSON. Ends with 0 if the request completed.
import { createClient } from 'graphql-ws';

const [url, token] = process.argv.slice(2);
if (!token) {
  console.error('Usage: node follow.mjs URL TOKEN [PAYER], like: node follow.mjs http://127.0.0.1:8000/graphql eyJ...');
  process.exit(1);
}
const MEMBER = 'm-1'; // the member that the token is for

const SUBMIT = `
  mutation Submit($input: SubmitCoverageRequestInput!) {
    submitCoverageRequest(input: $input) {
      __typename
      ... on CoverageRequestAccepted { request { id } }
      ... on CoverageAnswered { coverage { status planName ageSeconds } }
      ... on InvalidInput { problems { path code message } }
      ... on Refused { reason message retryAfterSeconds }
    }
  }
`;
const FOLLOW = `
  subscription Follow($id: ID!, $after: Cursor) {
    coverageRequestEvents(requestId: $id, after: $after) {
      __typename
      ... on CoverageRequestEvent { cursor id type sequence attempt coverage { status planName } failure { code kind message field } }
      ... on Gap { cursor reason }
    }
  }
`;
const CONNECT_INFO = '{ me { member { websocketSubscribeInfo { url authToken } } } }';

const jitter = (seconds) => new Promise((resolve) => setTimeout(resolve, Math.random() * seconds * 1000));

/** One query or mutation, tried again while the server is away or restarts; `data`, or an error. */
async function ask(query, variables) {
  for (let attempt = 0; ; attempt += 1) {
    let response;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ query, variables }),
      });
    } catch {} // nobody listens
    if (response && ![429, 502, 503, 504].includes(response.status)) {
      const { data, errors } = await response.json();
      if (errors) throw new Error(JSON.stringify(errors));
      return data;
    }
    await jitter(Math.min(8, 0.25 * 2 ** attempt));
  }
}

const subscribeInfo = async () => (await ask(CONNECT_INFO)).me.member.websocketSubscribeInfo;

const { submitCoverageRequest: result } = await ask(SUBMIT, {
  input: {
    cacheMode: 'REQUIRE_FRESH',
    idempotencyKey: crypto.randomUUID(), // so that trying again never asks twice
    question: {
      memberId: MEMBER,
      payerId: process.argv[4] ?? '60054',
      subscriber: { memberId: 'AETNA12345', firstName: 'Jane', lastName: 'Doe', dateOfBirth: '2004-04-04' },
    },
  },
});
if (result.__typename !== 'CoverageRequestAccepted') throw new Error(JSON.stringify(result));

const client = createClient({
  url: (await subscribeInfo()).url,
  connectionParams: async () => ({ authToken: (await subscribeInfo()).authToken }), // a new one at each connect
  retryAttempts: Infinity,
  shouldRetry: () => true, // also where nobody listens
  retryWait: (retries) => jitter(Math.min(8, 0.25 * 2 ** retries)),
  webSocketImpl: globalThis.WebSocket ?? (await import('ws')).WebSocket,
});

let cursor = null;
let last;
const variables = {
  id: result.request.id,
  get after() {
    return cursor; // read anew whenever the client subscribes again
  },
};
for await (const { data, errors } of client.iterate({ query: FOLLOW, variables })) {
  if (errors) throw new Error(JSON.stringify(errors)); // such as NOT_FOUND; then `data` is null
  last = data.coverageRequestEvents;
  cursor = last.cursor;
  console.log(JSON.stringify(last));
}
await client.dispose();
process.exitCode = last.type === 'COMPLETED' ? 0 : 1;
