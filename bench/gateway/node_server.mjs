// graphql-ws on ws, as its documentation has it: node bench/gateway/node_server.mjs PORT FEED
// Its packages are those of web/.
import { createRequire } from "node:module";
import net from "node:net";
import readline from "node:readline";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "web", "package.json"));
const { buildSchema } = require("graphql");
const { WebSocketServer } = require("ws");
const { useServer } = require("graphql-ws/use/ws");

const schema = buildSchema(`
  interface Update { cursor: String! }
  type Coverage { status: String! planName: String }
  type Failure { code: String! kind: String! message: String! }
  type Checkpoint implements Update { cursor: String! }
  type CoverageRequestEvent implements Update {
    cursor: String! id: ID! type: String! time: String! sequence: Int! attempt: Int! requestId: ID! memberId: ID!
    payerId: ID! queuePosition: Int estimatedWaitSeconds: Float coverage: Coverage failure: Failure
  }
  union MemberUpdate = CoverageRequestEvent | Checkpoint
  type Query { ready: Boolean }
  type Subscription { memberEvents(memberId: ID!): MemberUpdate! }
`);

const followers = new Map();

async function* follow(member) {
  const queue = [];
  let wake = () => {};
  const push = (event) => {
    queue.push(event);
    wake();
  };
  if (!followers.has(member)) followers.set(member, new Set());
  followers.get(member).add(push);
  try {
    yield { memberEvents: { __typename: "Checkpoint", cursor: "c" } };
    while (true) {
      while (queue.length) yield { memberEvents: queue.shift() };
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    followers.get(member).delete(push);
  }
}

const server = new WebSocketServer({ port: Number(process.argv[2]), host: "127.0.0.1", path: "/graphql" });
useServer({ schema, roots: { subscription: { memberEvents: ({ memberId }) => follow(memberId) } } }, server);

const feed = readline.createInterface({ input: net.connect(Number(process.argv[3]), "127.0.0.1") });
feed.on("line", (line) => {
  const space = line.indexOf(" ");
  const event = JSON.parse(line.slice(space + 1));
  for (const push of followers.get(line.slice(0, space)) ?? []) push(event);
});
