// The routes: a page, /health for whoever watches, /api/version for whoever asks.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const mustache = require('mustache');
const { COLOURS } = require('./site');

const template = fs.readFileSync(path.join(__dirname, 'page.html'), 'utf8');

function renderPage(site) {
  return mustache.render(template, {
    ...site,
    accent: COLOURS[site.colour],
    shortCommit: site.commit.slice(0, 8),
  });
}

function createApp(site) {
  const page = renderPage(site);
  const { version, commit, host, colour, builtAt } = site;

  const routes = {
    '/': ['text/html; charset=utf-8', page],
    '/health': ['application/json', JSON.stringify({ status: 'ok', host })],
    '/api/version': ['application/json', JSON.stringify({ version, commit, host, colour, builtAt })],
  };

  return http.createServer((request, response) => {
    const pathname = request.url.split('?')[0];
    const found = request.method === 'GET' || request.method === 'HEAD' ? routes[pathname] : undefined;
    const [type, body] = found || ['application/json', JSON.stringify({ error: 'not found', path: pathname })];
    response.writeHead(found ? 200 : 404, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
}

module.exports = { createApp, renderPage };
