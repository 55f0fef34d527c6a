// What this release is: site.json as its author wrote it, and what the build and the host add.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.join(__dirname, '..');

// White text on each of these has a contrast of at least 4.5 to 1.
const COLOURS = {
  blue: '#1d4ed8',
  crimson: '#b91c1c',
  green: '#15803d',
  purple: '#7e22ce',
  slate: '#475569',
  teal: '#0f766e',
};

function readJson(name, otherwise) {
  const file = path.join(root, name);
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : otherwise;
}

function readSite() {
  const site = readJson('site.json');
  const build = readJson('build-info.json', { commit: 'local', builtAt: null });
  return { ...site, ...build, host: process.env.INSTANCE_ID || os.hostname() };
}

module.exports = { COLOURS, readSite };
