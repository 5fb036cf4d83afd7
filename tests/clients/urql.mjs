// urql: `socket` by its subscriptionExchange over graphql-ws, `sse` by its fetchExchange alone.
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

import { authorization, FOLLOW, followed, INPUT, report, saw, socketUrl, SUBMIT, url, which } from './following.mjs';

const sockets = createClient({
  url: socketUrl,
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  retryAttempts: 0, // its own would send the cursor of the beginning
});
const client = new Client({
  url,
  preferGetMethod: false,
  fetchOptions: { headers: { authorization } },
  fetchSubscriptions: which === 'sse',
  exchanges: [
    subscriptionExchange({
      isSubscriptionOperation: ({ kind }) => which === 'socket' && kind === 'subscription',
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ query, variables }, sink) }),
      }),
    }),
    fetchExchange,
  ],
});

const asked = await client.query('query Who { me { id } }', {}).toPromise();
const { data, error: failure } = await client.mutation(SUBMIT, { input: INPUT }).toPromise();
if (asked.error ?? failure) throw asked.error ?? failure;

function subscribe(variables, { complete, broke }) {
  client.subscription(FOLLOW, variables).subscribe(({ data: item, error, hasNext }) => {
    if (error) return broke(error);
    if (item?.coverageRequestEvents.id && item.coverageRequestEvents.cursor !== last) {
      last = item.coverageRequestEvents.cursor;
      saw(item.coverageRequestEvents);
    }
    if (!hasNext) complete();
  });
}
let last; // the end comes with the last item once more
await followed(data.submitCoverageRequest.request.id, subscribe);

const refusal = await new Promise((resolve) => {
  client.subscription(FOLLOW, { requestId: 'unknown' }).subscribe(({ error }) => {
    if (error) resolve(error.graphQLErrors[0]?.extensions.code ?? String(error));
  });
});
report({ who: asked.data.me.id, refusal });
