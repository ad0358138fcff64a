'use strict';
// The page shows what /events says. Elements are kept and changed in place, so that the focus and a
// selection stay where they are. Whatever comes from dbvalet, and with it from clients and databases, gets
// into the page as text and never as markup.

const byId = id => document.getElementById(id);
const meta = name => document.querySelector(`meta[name=dbvalet-${name}]`).content;
const slot = (e, name) => e.querySelector(`[data-slot="${name}"]`);

// say changes an element's text, if it is another one.
function say(e, text) {
  text = String(text ?? '');
  if (e.textContent !== text) e.textContent = text;
}

// home moves the keyboard focus to where one goes on when what had it in e goes: the heading of its route.
const home = e => (e.closest('section')?.querySelector('[data-home]') ?? byId('routes')).focus();

// show hides e, or does not.
function show(e, wanted) {
  if (!wanted && e.contains(document.activeElement)) home(e);
  e.toggleAttribute('hidden', !wanted);
}

// place puts e before at, where the focus in it stays, which a browser takes from what moves.
function place(parent, e, at) {
  const focused = document.activeElement;
  parent.insertBefore(e, at);
  if (e.contains(focused)) focused.focus({preventScroll: true});
}

// set changes an attribute, if it is another one.
function set(e, name, value) {
  if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value);
}

// fresh returns a copy of what is in a template.
const fresh = name => byId(name + '-template').content.firstElementChild.cloneNode(true);

// keyed makes the children of parent those of items, in their order. A child that stays is the same
// element as before; if one goes that has the focus, the heading of its route gets it.
function keyed(parent, items, key, make, update) {
  const keys = items.map(key), wanted = new Set(keys), old = new Map();
  for (const e of [...parent.children]) {
    if (wanted.has(e.dataset.key)) {
      old.set(e.dataset.key, e);
      continue;
    }
    const focused = e.contains(document.activeElement);
    e.remove();
    if (focused) home(parent);
  }
  let at = parent.firstElementChild;
  items.forEach((item, i) => {
    const e = old.get(keys[i]) ?? make(item);
    e.dataset.key = keys[i];
    update(e, item);
    if (e === at) at = at.nextElementSibling;
    else place(parent, e, at);
  });
}

// Times. ahead is how far dbvalet's clock is ahead of the browser's, in milliseconds.
let ahead = 0;
const now = () => Date.now() + ahead;

// span says how long some seconds are, in two units at most.
function span(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  const two = n => String(n).padStart(2, '0');
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds % 3600 / 60))} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds % 86400 / 3600)} h`;
}

// relative are the ways to say when something is, by the seconds since.
const relative = {
  ago: s => s < 5 ? 'just now' : (s < 60 ? `${Math.floor(s / 10) * 10 || 5} s` : s < 3600 ? `${Math.floor(s / 60)} min` : span(s)) + ' ago',
  age: s => span(s),
  left: s => s >= 0 ? 'no time: it has expired' : span(-s),
};

// stamp makes e, a <time>, the time of an ISO date.
function stamp(e, iso) {
  if (e.dateTime === iso) return;
  e.dateTime = iso;
  e.title = new Date(iso).toLocaleString(undefined, {dateStyle: 'medium', timeStyle: 'long'});
  tell(e);
}

function tell(e) {
  if (e.dateTime) say(e, relative[e.dataset.as]((now() - Date.parse(e.dateTime)) / 1000));
}

// tick lets time pass.
function tick() {
  document.querySelectorAll('time[data-as]').forEach(tell);
  document.querySelectorAll('.life[data-to]').forEach(fade);
  for (const e of byId('routes').querySelectorAll('section')) if (e.shown) chart(e, e.shown.connects ?? []);
}

// fade makes e, the bar of a credential's life, as long as what is left of it.
function fade(e) {
  const from = Date.parse(e.dataset.from), to = Date.parse(e.dataset.to);
  const left = to > from ? Math.min(1, Math.max(0, (to - now()) / (to - from))) : 0;
  e.firstElementChild.style.transform = `scaleX(${left.toFixed(4)})`;
  set(e, 'data-is', left < 0.1 ? 'late' : 'good');
}

function bytes(n) {
  if (n < 1000) return `${n} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let i = -1;
  do { n /= 1000; i++; } while (n >= 999.5 && i < units.length - 1);
  return `${n < 10 ? n.toFixed(1) : n.toFixed(0)} ${units[i]}`;
}

const milliseconds = n => n < 0.05 ? 'under 0.1 ms' : n >= 1000 ? `${(n / 1000).toFixed(1)} s` : n >= 10 ? `${n.toFixed(0)} ms` : `${n.toFixed(1)} ms`;
const count = (n, one) => n === 1 ? `1 ${one}` : `${n} ${one}s`;

// news is a line for people: what came of what they did, or what has changed. It goes after a while, and
// after a rest there may be more about changes. It is emptied first: who listens to the page hears nothing
// of a text that was there already.
const newsTime = 8000, newsPause = 100;
let newsTimer, newsThere = false;
function news(text, rest = 0) {
  const later = (time, next) => { newsTimer = setTimeout(next, time); };
  clearTimeout(newsTimer);
  newsThere = true;
  say(byId('news'), '');
  later(newsPause, () => {
    say(byId('news'), text);
    later(newsTime, () => {
      say(byId('news'), '');
      later(rest, () => {
        newsThere = false;
        tellChanges();
      });
    });
  });
}

// tellChanges says what is new since it was last said, but when there are news already: what people did
// matters more, and where something changes all the time, the line would never go.
let told, shown;
function tellChanges() {
  if (newsThere) return;
  const text = told ? changes(told, shown) : '';
  told = shown;
  if (text) news(text, newsTime);
}

// copy puts a text into the clipboard, or where that is not allowed marks it for the user to copy.
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    news('Copied: ' + code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    news('The browser does not let the page copy: press Ctrl+C, the text is marked.');
  }
}

// post asks for something that changes something, with the token that shows it is this page that asks.
async function post(path) {
  try {
    const answer = await fetch(path, {method: 'POST', headers: {'X-Dbvalet-Token': meta('token')}});
    return {ok: answer.ok, status: answer.status, text: (await answer.text()).trim()};
  } catch {
    return {ok: false, status: 0, text: 'dbvalet does not answer'};
  }
}

// busy runs what a button starts, once at a time. The button keeps the focus, as a disabled one would not.
async function busy(button, work) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  try {
    await work();
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

async function reload() {
  const {text} = await post('/reload');
  news(text.charAt(0).toUpperCase() + text.slice(1));
}

// asked is the session that the dialog is about.
let asked;
function ask(button, session) {
  asked = {button, id: session.session};
  say(byId('ask-text'), `${program(session)}, as ${session.user} on ${session.database}.`);
  byId('ask').returnValue = '';
  byId('ask').showModal();
}

function answered() {
  if (!asked.button.isConnected) byId('routes').focus(); // the browser would give it the focus back
  if (byId('ask').returnValue !== 'close') return;
  const {button, id} = asked;
  busy(button, async () => {
    say(button, 'Closing');
    const {ok, status, text} = await post('/sessions/close?id=' + encodeURIComponent(id));
    if (ok) news('The session is closed.');
    else news(status === 404 ? 'The session had ended already.' : text);
    say(button, 'Close');
  });
}

// program names the client: on TCP, Landlock keeps dbvalet from finding out more than the address.
const program = s => s.program ? `${s.program} (pid ${s.pid})` : s.client;

const stages = ['credential', 'dial', 'tls', 'auth'];
const states = {served: 'Served', failed: 'Not served', leaving: 'Gone, its sessions live on'};
const kinds = {postgres: 'PostgreSQL', mysql: 'MySQL'};
const svg = name => document.createElementNS('http://www.w3.org/2000/svg', name);

// chart shows how long the stages of a set-up took: a bar for each half minute, the latest on the right.
function chart(e, spans) {
  const last = Math.floor(now() / 30000), slots = 30;
  const at = s => slots - 1 - (last - Math.floor(Date.parse(s.began) / 30000));
  const seen = spans.filter(s => at(s) >= 0 && at(s) < slots);
  const sum = s => stages.reduce((all, stage) => all + s[stage + '_ms'], 0);
  const timed = seen.filter(s => s.sessions > 0);
  const top = timed.reduce((most, s) => Math.max(most, sum(s)), 0), latest = timed.at(-1);
  const state = JSON.stringify([last, spans]);
  if (e.charted === state) return;
  e.charted = state;

  const sessions = seen.reduce((n, s) => n + s.sessions, 0), failed = seen.reduce((n, s) => n + s.failed, 0);
  let text = sessions ? `${count(sessions, 'session')} began in 15 minutes` : failed ? 'No session began in 15 minutes' : 'Nobody has connected in 15 minutes';
  if (failed) text += `, ${failed} failed`;
  if (latest) text += `; ${milliseconds(latest.total_ms)} of late, ${milliseconds(Math.max(...timed.map(s => s.slowest_ms)))} at most`;
  text += '.';
  say(slot(e, 'chart-text'), text);
  const bars = slot(e, 'bars');
  set(bars, 'aria-label', 'Time to connect by stage, over the last 15 minutes');
  show(bars, timed.length > 0);
  show(e.querySelector('.axis'), timed.length > 0);
  show(slot(e, 'legend'), timed.length > 0);
  if (!latest) return;
  say(slot(e, 'top'), `highest ${milliseconds(top)}`);
  keyed(bars, timed, s => s.began, () => {
    const g = svg('g');
    g.append(svg('title'), ...stages.map(stage => {
      const rect = svg('rect');
      rect.setAttribute('class', stage + '-bar');
      return rect;
    }));
    return g;
  }, (g, s) => {
    let y = 80;
    say(g.firstElementChild, `${new Date(s.began).toLocaleTimeString()}: ${count(s.sessions, 'session')}, ` + stages.map(stage => `${stage} ${milliseconds(s[stage + '_ms'])}`).join(', '));
    stages.forEach((stage, i) => {
      const height = top > 0 ? 78 * s[stage + '_ms'] / top : 0, rect = g.children[i + 1];
      y -= height;
      for (const [name, value] of Object.entries({x: at(s) * 10 + 1, width: 8, y: y.toFixed(2), height: height.toFixed(2)})) set(rect, name, value);
    });
  });
  keyed(slot(e, 'legend'), stages, stage => stage, stage => {
    const li = document.createElement('li'), mark = svg('svg'), rect = svg('rect');
    set(mark, 'viewBox', '0 0 10 10');
    set(mark, 'aria-hidden', 'true');
    for (const [name, value] of Object.entries({class: stage + '-bar', width: 10, height: 10, rx: 2})) set(rect, name, value);
    mark.append(rect);
    li.append(mark, document.createElement('span'));
    return li;
  }, (li, stage) => say(li.lastElementChild, `${stage} ${milliseconds(latest[stage + '_ms'])}`));
}

// route makes the section of a route.
let made = 0;
function route() {
  const e = fresh('route'), id = `route-${made++}`;
  slot(e, 'name').id = id;
  set(e, 'aria-labelledby', id);
  slot(e, 'sessions-title').id = id + '-sessions';
  set(slot(e, 'sessions-table'), 'aria-labelledby', id + '-sessions');
  return e;
}

function updateRoute(e, r) {
  e.shown = r;
  const served = r.state === 'served', failed = r.state === 'failed', clients = r.clients ?? [], errors = r.errors ?? [], credentials = r.credentials ?? [];
  say(slot(e, 'name'), r.name);
  say(slot(e, 'state'), states[r.state] ?? r.state);
  set(slot(e, 'state'), 'data-is', r.state);
  say(slot(e, 'kind'), kinds[r.scheme] ?? r.scheme);
  const way = r.upstream && r.upstream !== r.endpoint ? ` by way of ${r.upstream}` : '';
  say(slot(e, 'upstream'), (r.endpoint ?? '') + way);
  show(slot(e, 'trouble'), failed);
  say(slot(e, 'trouble-error'), r.error);
  say(slot(e, 'trouble-hint'), r.hint);
  show(slot(e, 'trouble-hint'), !!r.hint);

  const lines = (r.connect ?? []).flatMap(c => [[r.scheme === 'mysql' ? 'mysql' : 'psql', c.command], ['URL', c.url]]).filter(([, text]) => text);
  keyed(slot(e, 'connect'), lines, ([label, text]) => label + ' ' + text, ([label]) => {
    const line = fresh('connect');
    slot(line, 'copy').addEventListener('click', () => copy(slot(line, 'text')));
    set(slot(line, 'copy'), 'aria-label', `Copy the ${label === 'URL' ? 'URL' : label + ' command'} of ${r.name}`);
    return line;
  }, (line, [label, text]) => {
    say(slot(line, 'label'), label);
    say(slot(line, 'text'), text);
  });
  show(slot(e, 'connect').parentElement, lines.length > 0);

  for (const name of ['auth', 'user', 'security', 'allow']) {
    say(slot(e, name), r[name]);
    show(slot(e, name).parentElement, !!r[name]);
  }
  keyed(slot(e, 'credentials'), credentials, (c, i) => String(i), () => fresh('credential'), updateCredential);
  show(slot(e, 'no-credential'), served && credentials.length === 0);

  show(slot(e, 'chart'), served);
  chart(e, r.connects ?? []);

  say(slot(e, 'sessions-title'), clients.length ? `Sessions: ${clients.length}` : 'Sessions');
  show(slot(e, 'sessions-title'), served || clients.length > 0);
  show(slot(e, 'no-session'), served && clients.length === 0);
  show(slot(e, 'sessions-table'), clients.length > 0);
  keyed(slot(e, 'sessions'), clients, c => c.session, session, updateSession);

  show(slot(e, 'errors-part'), errors.length > 0);
  keyed(slot(e, 'errors'), errors, f => f.stage + ' ' + f.error, () => fresh('error'), updateError);
}

function updateCredential(e, c) {
  say(slot(e, 'id'), c.id || 'at hand');
  say(slot(e, 'credential-user'), c.user ? `for ${c.user}` : '');
  stamp(slot(e, 'age'), c.issued ?? c.fetched);
  show(slot(e, 'expiry-part'), !!c.expires);
  show(slot(e, 'life'), !!c.expires);
  if (!c.expires) return;
  stamp(slot(e, 'left'), c.expires);
  set(slot(e, 'life'), 'data-from', c.issued ?? c.fetched);
  set(slot(e, 'life'), 'data-to', c.expires);
  fade(slot(e, 'life'));
}

function session(s) {
  const e = fresh('session'), button = slot(e, 'close');
  if (button) {
    set(button, 'aria-label', `Close the session of ${program(s)} as ${s.user}`);
    button.addEventListener('click', () => ask(button, s));
  }
  return e;
}

function updateSession(e, s) {
  say(slot(e, 'program'), program(s));
  say(slot(e, 'peer'), s.peer);
  stamp(slot(e, 'since'), s.since);
  say(slot(e, 'session-user'), s.user);
  say(slot(e, 'database'), s.database);
  say(slot(e, 'application'), s.application);
  set(slot(e, 'application'), 'title', s.application);
  say(slot(e, 'sent'), bytes(s.from_client));
  say(slot(e, 'received'), bytes(s.from_upstream));
  say(slot(e, 'idle'), s.idle ? 'Idle' : 'Busy');
}

function updateError(e, f) {
  stamp(slot(e, 'at'), f.at);
  say(slot(e, 'stage'), f.stage);
  say(slot(e, 'by'), [f.times > 1 ? `${f.times} times` : '', f.program || f.client].filter(Boolean).join(', '));
  say(slot(e, 'error'), f.error);
  say(slot(e, 'hint'), f.hint);
  show(slot(e, 'hint'), !!f.hint);
}

// changes says in a line what is new between two states, for those who do not see it.
function changes(before, after) {
  const lines = [], sessions = [], old = new Map((before.routes ?? []).map(r => [r.name, r]));
  for (const r of after.routes ?? []) {
    const o = old.get(r.name) ?? {};
    old.delete(r.name);
    if (o.state !== r.state) lines.push(`${r.name}: ${states[r.state] ?? r.state}.`);
    const ids = list => new Set((list ?? []).map(c => c.session));
    const was = ids(o.clients), is = ids(r.clients);
    const began = [...is].filter(id => !was.has(id)).length, ended = [...was].filter(id => !is.has(id)).length;
    if (began) sessions.push(`${count(began, 'session')} on ${r.name} began.`);
    if (ended) sessions.push(`${count(ended, 'session')} on ${r.name} ended.`);
    const failures = list => (list ?? []).reduce((n, f) => n + f.times, 0);
    if (failures(r.errors) > failures(o.errors)) lines.push(`An error on ${r.name}: ${r.errors[0].error}`);
  }
  for (const name of old.keys()) lines.push(`${name} is gone.`);
  if (before.state !== after.state) lines.push(`dbvalet is ${after.state}.`);
  return [...lines, ...sessions].slice(0, 4).join('\n');
}

function update(status) {
  shown = status;
  const routes = status.routes ?? [], sessions = routes.reduce((n, r) => n + (r.clients ?? []).length, 0);
  say(byId('version'), status.version);
  keyed(byId('all'), routes, r => r.name, route, updateRoute);
  const last = status.last_reload;
  say(byId('last-reload'), last ? `Configuration ${last.ok ? 'read again' : 'not reloaded'} at ${new Date(last.at).toLocaleTimeString()}: ${last.result}` : '');
  document.title = `${sessions ? count(sessions, 'session') + ' · ' : ''}dbvalet`;
  tellChanges();
}

// link says how the page is connected.
function link(is, text) {
  if (byId('link').dataset.is !== is && is === 'lost') news('Not connected to dbvalet.');
  set(byId('link'), 'data-is', is);
  say(byId('link-text'), text);
  show(byId('lost'), is === 'lost');
  if (is !== 'lost') return;
  document.title = 'Not connected · dbvalet';
  say(byId('lost'), 'dbvalet does not answer: it has ended, or is being started again. What is shown is how it was before. The page goes on trying.');
}

// listen follows the events. Where there are none, as dbvalet is gone, or has as many pages open as it
// takes, it looks at the status and tries again. A page that nobody sees does not keep a place.
const again = 2000;
let source, retry;
function listen() {
  clearTimeout(retry);
  source?.close();
  if (document.hidden) return;
  source = new EventSource('/events');
  source.addEventListener('hello', event => {
    const hello = JSON.parse(event.data);
    if (hello.run !== meta('run')) { // another run has another token, and may have another page
      event.target.close(); // what it says is for that page, and this one is not to look alive
      location.reload();
    }
    ahead = Date.parse(hello.now) - Date.now();
  });
  source.addEventListener('message', event => {
    update(JSON.parse(event.data));
    link('live', shown.state === 'ready' ? 'Live' : `Live, ${shown.state}`);
  });
  const mine = source;
  mine.addEventListener('error', async () => {
    mine.close();
    const status = await fetch('/status', {cache: 'no-store', signal: AbortSignal.timeout(10_000)}).then(answer => answer.json()).catch(() => null);
    if (source !== mine) return; // there is another one by now, that knows better
    retry = setTimeout(listen, again);
    if (status) update(status);
    link(...status ? ['live', 'Looks every 2 seconds'] : ['lost', 'Not connected']);
  });
}

byId('reload')?.addEventListener('click', () => busy(byId('reload'), reload));
show(byId('link'), true);
if (byId('reload')) show(byId('reload'), true);
byId('ask').addEventListener('close', answered);
document.addEventListener('visibilitychange', listen);
setInterval(tick, 1000);
listen();
