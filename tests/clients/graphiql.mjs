// Drives GraphiQL in headless Chromium as a newcomer would: play Submit, then Follow, then Resume.
// Usage: node graphiql.mjs LINK CHROMIUM [FOLDER FOR SCREENSHOTS]. Prints one line of JSON: what was shown, what the
// browser complained of, and whom the page called beside its own server.
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';

const { chromium } = createRequire(new URL('../../web/package.json', import.meta.url))('playwright-core');
const [link, executablePath, screenshots] = process.argv.slice(2);
const home = new URL(link).host;

const asked = [];
const complaints = [];

// Whatever is meant for another machine comes to this proxy, which hangs up. Chromium calls its makers on its own account.
const OF_THE_BROWSER = /\.(google|googleapis|gvt1)\.com[:/]/;
const proxy = createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (data) => {
    const [line] = data.toString('latin1').split('\r\n');
    if (!OF_THE_BROWSER.test(line)) asked.push(line);
    socket.destroy();
  });
});
await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening));

const browser = await chromium.launch({
  executablePath,
  args: [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    `--proxy-server=127.0.0.1:${proxy.address().port}`,
    '--proxy-bypass-list=127.0.0.1',
  ],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.on('request', (request) => asked.push(request.url()));
page.on('websocket', (socket) => asked.push(socket.url()));
page.on('pageerror', (error) => complaints.push(String(error)));
page.on('console', (message) => {
  if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
});

const play = () => page.click('.graphiql-execute-button');
const tab = (name) => page.click(`.graphiql-tab-button:text-is("${name}")`);
const shot = (name) => screenshots && page.screenshot({ path: join(screenshots, `${name}.png`) });

/** The response pane's text; CodeMirror draws only what is in view, so it is asked for all of it. */
const response = () => page.evaluate(() => document.querySelector('.result-window .CodeMirror').CodeMirror.getValue());
const variables = () =>
  page.evaluate(() => document.querySelector('.graphiql-editor-tool .CodeMirror').CodeMirror.getValue());

async function until(holds) {
  for (;;) {
    const text = await response();
    if (text && holds(text)) return JSON.parse(text);
    await page.waitForTimeout(100);
  }
}

try {
  await page.goto(link);
  await page.waitForSelector('.graphiql-execute-button');
  await page.waitForFunction(() => !document.querySelector('.graphiql-spinner'));
  await shot('1-loaded');

  await play();
  const submitted = await until((text) => text.includes('submitCoverageRequest') || text.includes('errors'));
  await shot('2-submitted');

  await tab('Follow');
  await play();
  const followed = await until((text) => /"type": "(COMPLETED|FAILED|TIMEOUT)"|errors/.test(text));
  await shot('3-followed');

  await tab('Resume');
  const resumeVariables = JSON.parse(await variables());
  await play();
  const resumed = await until((text) => text.includes('received') || text.includes('errors'));
  await shot('4-resumed');

  await tab('MemberEvents');
  await play();
  const member = await until((text) => text.includes('Checkpoint') || text.includes('errors'));
  await shot('5-member-events');

  await page.reload();
  await page.waitForSelector('.graphiql-execute-button');
  const tabs = await page.locator('.graphiql-tab-button').allTextContents();

  const strangers = asked.filter((url) => !/^(data|blob):/.test(url) && !url.includes(`://${home}/`));
  console.log(
    JSON.stringify({ submitted, followed, resumeVariables, resumed, member, tabs, complaints, strangers }),
  );
} finally {
  await browser.close();
  proxy.close();
}
