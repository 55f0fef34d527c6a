// `npm test`: Node's own runner, read by people on the terminal and by CodeBuild as JUnit XML.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const root = path.join(__dirname, '..');
fs.mkdirSync(path.join(root, 'reports'), { recursive: true });

const { status } = spawnSync(
  process.execPath,
  [
    '--test',
    '--test-reporter=spec', '--test-reporter-destination=stdout',
    '--test-reporter=junit', '--test-reporter-destination=reports/junit.xml',
    'test/app.test.js',
  ],
  { cwd: root, stdio: 'inherit' },
);
process.exit(status === null ? 1 : status);
