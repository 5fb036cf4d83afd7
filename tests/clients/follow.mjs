// The official graphql-ws client follows a request to its end, is cut off half-way, and comes back by itself: its
// variables hold the cursor of the last event, read anew at each attempt.
// Usage: node follow.mjs LINK TOKEN. Prints one line of JSON: the events, and how often the socket was opened.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../web/package.json', import.meta.url));
const { createClient } = require('graphql-ws');
const { WebSocket } = require('ws');
const [link, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const CUT_AFTER = 2;

const SUBMIT = `
  mutation Submit($input: SubmitCoverageRequestInput!) {
    submitCoverageRequest(input: $input) {
      __typename
      ... on CoverageRequestAccepted { request { id } }
    }
  }
`;
const FOLLOW = `
  subscription Follow($requestId: ID!, $after: Cursor) {
    coverageRequestEvents(requestId: $requestId, after: $after) {
      __typename
      ... on CoverageRequestEvent { id cursor type sequence coverage { status } }
    }
  }
`;

async function submit() {
  const response = await fetch(link, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify({
      query: SUBMIT,
      variables: {
        input: {
          cacheMode: 'REQUIRE_FRESH',
          question: {
            memberId: 'm-1',
            payerId: '60054',
            subscriber: { memberId: 'AETNA12345', firstName: 'Jane', lastName: 'Doe', dateOfBirth: '2004-04-04' },
          },
        },
      },
    }),
  });
  const { data } = await response.json();
  return data.submitCoverageRequest.request.id;
}

const events = [];
let opened = 0;
let socket;

const client = createClient({
  url: link.replace(/^http/, 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  retryWait: async () => {},
  on: {
    connected: (connected) => {
      socket = connected;
      opened += 1;
    },
  },
});

const requestId = await submit();
const variables = {
  requestId,
  get after() {
    return events.at(-1)?.cursor ?? null;
  },
};
await new Promise((resolve, reject) => {
  client.subscribe(
    { query: FOLLOW, variables },
    {
      next: ({ data, errors }) => {
        if (errors) return reject(new Error(JSON.stringify(errors)));
        events.push(data.coverageRequestEvents);
        if (events.length === CUT_AFTER) socket.terminate();
      },
      error: reject,
      complete: resolve,
    },
  );
});
await client.dispose();
console.log(JSON.stringify({ events, opened }));
