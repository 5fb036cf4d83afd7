// The official graphql-sse client, in distinct connections mode: comes back by itself, with variables read anew.
import { createClient } from 'graphql-sse';

import { authorization, cursor, FOLLOW, INPUT, report, saw, SUBMIT, url } from './following.mjs';

let connected = 0;
const client = createClient({
  url,
  headers: { authorization },
  retry: async () => {},
  on: {
    connected: () => {
      connected += 1;
    },
  },
});
const run = (request, next) =>
  new Promise((complete, error) => client.subscribe(request, { next, error, complete }));

let requestId;
await run({ query: SUBMIT, variables: { input: INPUT } }, ({ data }) => {
  requestId = data.submitCoverageRequest.request.id;
});
connected = 0;
const variables = {
  requestId,
  get after() {
    return cursor();
  },
};
await run({ query: FOLLOW, variables }, ({ data, errors }) => {
  if (errors) throw new Error(JSON.stringify(errors));
  saw(data.coverageRequestEvents);
});

let refusal;
await run({ query: FOLLOW, variables: { requestId: 'unknown' } }, ({ errors }) => {
  refusal = errors[0].extensions.code;
});
report({ connected: connected - 1, refusal });
