// What the clients' scripts share: a request to follow, a proxy that cuts connections, and what was seen.
// Each is started as: node SCRIPT LINK TOKEN [WHICH], and prints one line of JSON: the events and the number of cuts.
import { connect, createServer } from 'node:net';

const [link, token] = process.argv.slice(2);
export const which = process.argv[4];
export const authorization = `Bearer ${token}`;
const CUT_AFTER = 2;

export const SUBMIT = `
  mutation Submit($input: SubmitCoverageRequestInput!) {
    submitCoverageRequest(input: $input) {
      __typename
      ... on CoverageRequestAccepted { request { id } }
    }
  }
`;
export const INPUT = {
  cacheMode: 'REQUIRE_FRESH',
  question: {
    memberId: 'm-1',
    payerId: '60054',
    subscriber: { memberId: 'AETNA12345', firstName: 'Jane', lastName: 'Doe', dateOfBirth: '2004-04-04' },
  },
};
export const FOLLOW = `
  subscription Follow($requestId: ID!, $after: Cursor) {
    coverageRequestEvents(requestId: $requestId, after: $after) {
      __typename
      ... on CoverageRequestEvent { id cursor type sequence coverage { status } }
    }
  }
`;

// Clients talk to this; cutting it off is a lost network, which no client is told of in a friendlier way.
const target = new URL(link);
const sockets = new Set();
const proxy = createServer((near) => {
  const far = connect(Number(target.port), target.hostname);
  for (const [one, other] of [[near, far], [far, near]]) {
    sockets.add(one);
    one.on('error', () => other.destroy());
    one.on('close', () => {
      sockets.delete(one);
      other.destroy();
    });
    one.pipe(other);
  }
});
await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening));
export const url = `http://127.0.0.1:${proxy.address().port}${target.pathname}`;
export const socketUrl = url.replace(/^http/, 'ws');

const events = [];
let cuts = 0;
export const cursor = () => events.at(-1)?.cursor ?? null;

/** Keep an event; the second one is the last before the cut. */
export function saw(event) {
  events.push(event);
  if (events.length === CUT_AFTER && cuts === 0) {
    cuts += 1;
    for (const socket of sockets) socket.destroy();
  }
}

/** Submit the plain way, for clients that only subscribe. */
export async function submitted() {
  const response = await fetch(link, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify({ query: SUBMIT, variables: { input: INPUT } }),
  });
  const { data } = await response.json();
  return data.submitCoverageRequest.request.id;
}

/** Follow with a client that does not come back by itself: subscribe again from the last cursor until it completes. */
export async function followed(requestId, subscribe) {
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    const variables = { requestId, after: cursor() };
    const broken = await new Promise((resolve) => {
      subscribe(variables, { complete: () => resolve(false), broke: () => resolve(true) });
    });
    if (!broken) return;
  }
  throw new Error('the stream broke five times');
}

export function report(more = {}) {
  console.log(JSON.stringify({ events, cuts, ...more }));
  proxy.close();
  for (const socket of sockets) socket.destroy();
  process.exit(0);
}
