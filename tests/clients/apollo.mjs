// Apollo Client: `socket` by its GraphQLWsLink, `multipart` by its HttpLink alone.
import { ApolloClient, gql, InMemoryCache } from '@apollo/client';
import { HttpLink } from '@apollo/client/link/http';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

import { authorization, FOLLOW, followed, INPUT, report, saw, socketUrl, SUBMIT, url, which } from './following.mjs';

const fetchPolicy = 'no-cache';
const http = new ApolloClient({
  link: new HttpLink({ uri: url, headers: { authorization } }),
  cache: new InMemoryCache(),
});
const wsLink = () =>
  new GraphQLWsLink(
    createClient({
      url: socketUrl,
      webSocketImpl: WebSocket,
      connectionParams: { authorization },
      retryAttempts: 0, // its own would send the cursor of the beginning
    }),
  );
const client = which === 'socket' ? new ApolloClient({ link: wsLink(), cache: new InMemoryCache() }) : http;

const asked = await http.query({ query: gql`query Who { me { id } }`, fetchPolicy });
const { data } = await http.mutate({ mutation: gql(SUBMIT), variables: { input: INPUT }, fetchPolicy });

function subscribe(variables, { complete, broke }) {
  client.subscribe({ query: gql(FOLLOW), variables, fetchPolicy }).subscribe({
    next: ({ data: item, error }) => (error ? broke(error) : saw(item.coverageRequestEvents)),
    error: broke,
    complete,
  });
}
await followed(data.submitCoverageRequest.request.id, subscribe);

const refusal = await new Promise((resolve, reject) => {
  client.subscribe({ query: gql(FOLLOW), variables: { requestId: 'unknown' }, fetchPolicy }).subscribe({
    next: ({ error }) => resolve(error?.errors?.[0]?.extensions?.code ?? String(error)),
    error: (error) => resolve(error?.errors?.[0]?.extensions?.code ?? String(error)),
    complete: () => reject(new Error('completed')),
  });
});
report({ who: asked.data.me.id, refusal });
