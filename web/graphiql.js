// GraphiQL with a token and examples filled in. React, GraphiQL and graphql-ws are globals of their own scripts.
import { examples, NOT_YET } from './examples.js';

const ENDED = new Set(['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED']);
const EVENTS_SHOWN = 100;

const page = document.getElementById('graphiql');
const { token, memberId } = page.dataset;
const url = `${location.origin}/graphql`;
const headers = JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2);

// What the examples' variables are filled in with: the request submitted last, and the cursor to resume it from.
const latest = { requestId: NOT_YET, after: null };
const filledIn = new Set(Object.values(latest));

function remember(values) {
  Object.assign(latest, values);
  Object.values(values).forEach((value) => filledIn.add(value));
}

function noteRequest(result) {
  for (const answer of Object.values(result.data ?? {})) {
    const request = answer?.request ?? answer?.refresh;
    if (request?.id) remember({ requestId: request.id, after: request.cursor ?? null });
  }
}

function noteEvent(event) {
  if (event?.cursor && event.sequence && !ENDED.has(event.type)) remember({ after: event.cursor });
}

/** The tab's variables with what is known by now, but never in place of what somebody typed. */
function filled(variables) {
  try {
    const given = JSON.parse(variables);
    for (const [name, value] of Object.entries(latest)) {
      if (name in given && 'requestId' in given && filledIn.has(given[name])) given[name] = value;
    }
    return JSON.stringify(given, null, 2);
  } catch {
    return variables;
  }
}

/** A stream of single results as one of growing lists, the newest first: GraphiQL shows only the last result. */
function listed(results) {
  const source = results[Symbol.asyncIterator]();
  let received = 0;
  let shown = [];
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const { done, value } = await source.next();
      if (done) return { done, value };
      received += 1;
      const event = value.errors ? value : Object.values(value.data)[0];
      noteEvent(event);
      shown = [event, ...shown].slice(0, EVENTS_SHOWN);
      return { done: false, value: { received, newestFirst: shown } };
    },
    return() {
      return source.return();
    },
  };
}

/** Subscriptions go over a socket of their own, opened with the token that the headers editor holds. */
function socketClient(given) {
  const [, authorization] = Object.entries(given ?? {}).find(([name]) => /^authorization$/i.test(name)) ?? [];
  return graphqlWs.createClient({
    url: url.replace(/^http/, 'ws'),
    connectionParams: authorization ? { authorization } : {},
    retryAttempts: 0,
  });
}

async function fetcher(params, options) {
  const fetchNow = GraphiQL.createFetcher({
    url,
    wsClient: socketClient(options?.headers),
    enableIncrementalDelivery: false,
  });
  const result = await fetchNow(params, options);
  if (Symbol.asyncIterator in result) return listed(result);
  noteRequest(result);
  return result;
}

// Settings and history outlive a reload; tabs do not: they would hold ids of another log and tokens of another day.
const OF_TABS = new Set(['tabState', 'query', 'variables', 'headers', 'operationName'].map((key) => `graphiql:${key}`));
const storage = {
  getItem: (key) => (OF_TABS.has(key) ? null : localStorage.getItem(key)),
  setItem: (key, value) => OF_TABS.has(key) || localStorage.setItem(key, value),
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => localStorage.clear(),
  get length() {
    return localStorage.length;
  },
};

function App() {
  const [variables, setVariables] = React.useState(undefined);
  const tabs = examples(memberId).map((example) => ({
    ...example,
    variables: JSON.stringify(example.variables, null, 2),
  }));
  return React.createElement(
    GraphiQL,
    {
      fetcher,
      storage,
      defaultTabs: tabs,
      defaultHeaders: headers,
      defaultEditorToolsVisibility: 'variables',
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
      variables,
      // GraphiQL is still changing the tab when it says so.
      onTabChange: ({ tabs: open, activeTabIndex }) =>
        queueMicrotask(() => setVariables(filled(open[activeTabIndex].variables))),
    },
    React.createElement(GraphiQL.Logo, null, 'Covey'),
  );
}

if (window.GraphiQL && window.graphqlWs && window.ReactDOM) {
  ReactDOM.createRoot(page).render(React.createElement(App));
} else {
  page.textContent = 'GraphiQL could not be loaded. With Node.js 18 or newer: run scripts/web, then reload this page.';
}
