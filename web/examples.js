// The operations that GraphiQL opens with. The person is one of the simulator's documented mock people.

const question = (memberId) => ({
  memberId,
  payerId: '60054',
  subscriber: {
    memberId: 'AETNA12345',
    firstName: 'Jane',
    lastName: 'Doe',
    dateOfBirth: '2004-04-04',
  },
});

// Stands in the variables until Submit has been played; then the page puts the real value there.
export const NOT_YET = 'play Submit first';

export const examples = (memberId) => [
  {
    query: `# 1. Ask whether Jane Doe is covered: press play.
#    A request id comes at once. The answer comes
#    later, as an event: go on to the tab Follow.
#
#    Then take "cacheMode" out below, and play it
#    again: what is known is answered at once.

mutation Submit($input: SubmitCoverageRequestInput!) {
  submitCoverageRequest(input: $input) {
    __typename
    ... on CoverageRequestAccepted {
      request {
        id
        status
        queuePosition
        estimatedWaitSeconds
        cursor
      }
    }
    ... on CoverageAnswered {
      coverage { status planName ageSeconds }
      refresh { id status cursor }
    }
    ... on InvalidInput {
      problems { path code message }
    }
    ... on Refused {
      reason
      message
      retryAfterSeconds
    }
  }
}
`,
    variables: { input: { question: question(memberId), cacheMode: 'REQUIRE_FRESH' } },
  },
  {
    query: `# 2. Watch the events arrive: press play.
#    First those that have happened, then live,
#    until it is over. The newest is on top.

subscription Follow($requestId: ID!) {
  coverageRequestEvents(
    requestId: $requestId
    progress: true
  ) {
    __typename
    ... on CoverageRequestEvent {
      type
      time
      sequence
      coverage { status planName planBegin }
      failure { code kind message field }
      cursor
    }
    ... on QueueProgress {
      queuePosition
      estimatedWaitSeconds
    }
    ... on Gap { reason cursor }
  }
}
`,
    variables: { requestId: NOT_YET },
  },
  {
    query: `# 3. Go on where you were cut off: press play.
#    "after" is the cursor of the last event that
#    Follow showed before the end. What followed
#    it is sent, each event once and in order.

subscription Resume($requestId: ID!, $after: Cursor) {
  coverageRequestEvents(
    requestId: $requestId
    after: $after
  ) {
    __typename
    ... on CoverageRequestEvent {
      type
      time
      sequence
      coverage { status planName planBegin }
      failure { code kind message field }
      cursor
    }
    ... on Gap { reason cursor }
  }
}
`,
    variables: { requestId: NOT_YET, after: null },
  },
  {
    query: `# 4. All that this member may see: press play,
#    then play Submit in a second window.
#    A Checkpoint comes first: it is a cursor to
#    resume from before anything has happened.

subscription MemberEvents($after: Cursor) {
  memberEvents(after: $after) {
    __typename
    ... on CoverageRequestEvent {
      type
      time
      requestId
      payerId
      cursor
    }
    ... on PayerEvent {
      payerId
      available
      since
      cursor
    }
    ... on Checkpoint { cursor }
    ... on Gap { reason cursor }
  }
}
`,
    variables: { after: null },
  },
];
