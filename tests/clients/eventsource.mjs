// EventSource, as browsers have it and as the package of that name makes it for Node: it knows nothing of GraphQL, asks
// for no cursor, and resumes by Last-Event-ID alone. Its request is made a POST with a token by the `fetch` it is given.
import { EventSource } from 'eventsource';

import { authorization, report, saw, submitted, url } from './following.mjs';

const requestId = await submitted();
const query = `
  subscription Follow($requestId: ID!) {
    coverageRequestEvents(requestId: $requestId) { ... on CoverageRequestEvent { id type sequence coverage { status } } }
  }
`;
const resumedFrom = [];
const ids = [];
const source = new EventSource(url, {
  fetch: (address, init) => {
    resumedFrom.push(init.headers['Last-Event-ID'] ?? null);
    return fetch(address, {
      ...init,
      method: 'POST',
      headers: { ...init.headers, authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables: { requestId } }),
    });
  },
});
source.addEventListener('next', ({ data, lastEventId }) => {
  ids.push(lastEventId);
  saw(JSON.parse(data).data.coverageRequestEvents);
});
await new Promise((complete) => source.addEventListener('complete', complete));
source.close();
report({ resumedFrom, ids });
