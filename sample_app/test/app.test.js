'use strict';

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { createApp, renderPage } = require('../src/app');
const { COLOURS, readSite } = require('../src/site');

const site = { ...readSite(), commit: '0123456789abcdef', host: 'host-1' };

describe('site.json', () => {
  test('names a colour that the page has', () => {
    const known = Object.keys(COLOURS).join(', ');
    assert.ok(site.colour in COLOURS, `unknown colour ${site.colour}; choose one of: ${known}`);
  });

  test('has a version of three numbers', () => {
    assert.match(site.version, /^\d+\.\d+\.\d+$/);
  });

  test('greets', () => {
    assert.ok(site.greeting.trim().length > 0, 'greeting is empty');
  });
});

describe('the page', () => {
  test('shows version, commit, host and colour', () => {
    const page = renderPage(site);
    for (const text of [site.version, '01234567', 'host-1', site.colour]) {
      assert.ok(page.includes(text), `the page does not show ${text}`);
    }
  });

  test('does not let a greeting become markup', () => {
    assert.ok(!renderPage({ ...site, greeting: '<script>' }).includes('<script>'));
  });
});

describe('the service', () => {
  let server;
  let url;

  before(async () => {
    server = createApp(site);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${server.address().port}`;
  });

  after(() => {
    server.closeAllConnections();
    server.close();
  });

  test('is healthy', async () => {
    const response = await fetch(`${url}/health`);
    assert.equal(response.status, 200);
    assert.equal((await response.json()).status, 'ok');
  });

  test('tells its version', async () => {
    const answer = await (await fetch(`${url}/api/version`)).json();
    assert.equal(answer.version, site.version);
    assert.equal(answer.commit, site.commit);
  });

  test('answers 404 for what is not there', async () => {
    for (const path of ['/nowhere', '//']) {
      assert.equal((await fetch(url + path)).status, 404, path);
    }
  });
});
