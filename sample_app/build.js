// `npm run build`: everything a host needs, in dist/. A host installs nothing from the registry.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const dist = path.join(__dirname, 'dist');
const { packages } = require('./package-lock.json');

function commit() {
  const known = process.env.CODEBUILD_RESOLVED_SOURCE_VERSION;
  if (known) return known;
  const git = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: __dirname, encoding: 'utf8' });
  return git.status === 0 ? git.stdout.trim() : 'unknown';
}

fs.rmSync(dist, { recursive: true, force: true });
fs.mkdirSync(dist, { recursive: true });
for (const name of ['src', 'site.json', 'package.json']) {
  fs.cpSync(path.join(__dirname, name), path.join(dist, name), { recursive: true });
}
// The lock file lists dependencies of dependencies too; '' is this package itself.
for (const [name, { dev, optional }] of Object.entries(packages)) {
  const installed = path.join(__dirname, name);
  if (name === '' || dev || (optional && !fs.existsSync(installed))) continue;
  fs.cpSync(installed, path.join(dist, name), { recursive: true });
}
const info = { commit: commit(), builtAt: new Date().toISOString() };
fs.writeFileSync(path.join(dist, 'build-info.json'), JSON.stringify(info, null, 2) + '\n');
console.log(`built ${require('./site.json').version} of commit ${info.commit}`);
