// Drives Chromium as browser_test.go says: a line of JSON for each step on standard input, and one for its
// outcome on standard output. The steps wait for what they look for, and give up after a time.
'use strict';
const readline = require('readline');
const {chromium} = require('playwright-core');
const axe = require('fs').readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const patience = 20000;
let browser, page;
const requests = [], complaints = [];

// open opens a page, in a window that shares nothing with the one before it, which is closed.
// With stopped, its time stands still until pass.
async function open({url, scheme = 'light', width = 1200, scripts = true, bypassCSP = false, stopped = false}) {
  await close();
  const context = await browser.newContext({
    colorScheme: scheme, viewport: {width, height: 900}, javaScriptEnabled: scripts, bypassCSP, reducedMotion: 'reduce', timezoneId: 'UTC', locale: 'en-GB',
  });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], {origin: new URL(url).origin});
  context.setDefaultTimeout(patience);
  context.on('request', r => requests.push(r.url()));
  context.on('console', m => ['error', 'warning'].includes(m.type()) && complaints.push(m.text()));
  context.on('weberror', e => complaints.push(String(e.error())));
  page = await context.newPage();
  if (stopped) await page.clock.install();
  page.on('dialog', d => { complaints.push('dialog: ' + d.message()); d.dismiss(); });
  const answer = await page.goto(url);
  if (stopped) await page.clock.pauseAt(Date.now() + 60_000); // which has not come yet in the page
  return {status: answer.status(), policy: answer.headers()['content-security-policy']};
}

async function close() {
  await page?.context().close();
  page = undefined;
}

// tab opens a page in the window that there is, and stays there. What another tab does goes on.
async function tab({url}) {
  page = await page.context().newPage();
  await page.goto(url);
}

// hold keeps the answer for a path back until release, and has another fail once.
let held;
async function hold({path, fails}) {
  const at = path => url => url.pathname === path;
  await page.route(at(fails), route => route.abort(), {times: 1});
  held = new Promise((got, failed) => page.route(at(path), route => route.fetch().then(response => got({route, response}), failed), {times: 1}));
}

const steps = {
  open, close, tab,
  // back returns to the window's first tab.
  back: () => { page = page.context().pages()[0]; },
  // run returns what a script in the page comes to.
  run: ({script}) => page.evaluate(script),
  pass: ({ms}) => page.clock.runFor(ms),
  // passes lets no more time pass than it takes until an element has a text.
  'passes until': async ({selector, text}) => {
    for (const wanted = page.locator(selector).filter({hasText: text}), end = Date.now() + patience; !await wanted.count();) {
      if (Date.now() > end) throw new Error(`${selector} does not say ${text}`);
      await page.clock.runFor(10);
    }
  },
  hold,
  held: async () => {
    const late = new Promise((_, failed) => setTimeout(() => failed(new Error('nothing was held back')), patience).unref());
    await Promise.race([held, late]);
  },
  release: async () => {
    const {route, response} = await held;
    await route.fulfill({response});
    await (await route.request().response()).finished();
  },
  // sees waits for an element that has a text.
  sees: ({selector, text}) => page.locator(selector).filter({hasText: text}).first().waitFor(),
  misses: ({selector, text}) => page.locator(selector).filter({hasText: text}).first().waitFor({state: 'detached'}),
  text: ({selector}) => page.locator(selector).first().innerText(),
  style: ({selector}) => page.locator(selector).first().getAttribute('style'),
  count: ({selector}) => page.locator(selector).count(),
  // moves waits until an element's text is another one, and returns both.
  moves: async ({selector}) => {
    const before = await page.locator(selector).first().innerText();
    await page.waitForFunction(([selector, before]) => document.querySelector(selector).innerText !== before, [selector, before]);
    return [before, await page.locator(selector).first().innerText()];
  },
  click: ({selector}) => page.locator(selector).first().click(),
  press: ({key}) => page.keyboard.press(key),
  focus: ({selector}) => page.locator(selector).first().focus(),
  // focused names what the keyboard acts on.
  focused: () => page.evaluate(() => {
    const e = document.activeElement;
    return e === document.body ? '' : (e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') && e.tagName) || e.innerText || e.tagName).trim();
  }),
  mark: ({selector}) => page.evaluate(selector => { document.querySelector(selector).marked = true; }, selector),
  marked: ({selector}) => page.evaluate(selector => !!document.querySelector(selector)?.marked, selector),
  clipboard: () => page.evaluate(() => navigator.clipboard.readText()),
  overflow: () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  requests: () => requests,
  complaints: () => complaints.splice(0),
  // faults are what axe finds, with how bad it is.
  faults: async () => {
    await page.evaluate(axe);
    const {violations, passes} = await page.evaluate(() => window.axe.run());
    if (passes.length < 10) throw new Error('axe has looked at next to nothing');
    return violations.map(v => ({impact: v.impact, rule: v.id, where: v.nodes.map(n => n.html.slice(0, 200) + ' ' + n.failureSummary)}));
  },
  screenshot: async ({path}) => { await page.screenshot({path, fullPage: true}); },
};

async function main() {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM, headless: false,
    // The page is ours, and where tests run there may be no namespaces for a sandbox.
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  for await (const line of readline.createInterface({input: process.stdin})) {
    const {step, ...args} = JSON.parse(line);
    let outcome;
    try {
      outcome = {value: await steps[step](args)};
    } catch (err) {
      outcome = {error: String(err.stack || err), page: await page?.locator('body').innerText({timeout: 1000}).catch(String), complaints};
    }
    process.stdout.write(JSON.stringify(outcome) + '\n');
  }
  await browser.close();
}

main().catch(async err => {
  console.error(err);
  await browser?.close();
  process.exit(1);
});
