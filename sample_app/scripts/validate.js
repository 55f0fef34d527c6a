// Asks the service until it is healthy, then compares its commit with the installed one.
'use strict';

const path = require('node:path');

const installed = require(path.join(process.argv[2], 'build-info.json'));
const url = `http://127.0.0.1:${process.env.PORT}`;
const patience = Date.now() + 10_000;

async function ask(route) {
  const response = await fetch(url + route);
  if (!response.ok) throw new Error(`${route} answers ${response.status}`);
  return response.json();
}

async function main() {
  for (;;) {
    try {
      const health = await ask('/health');
      if (health.status !== 'ok') throw new Error(`/health says ${JSON.stringify(health)}`);
      break;
    } catch (error) {
      if (Date.now() > patience) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  const { version, commit } = await ask('/api/version');
  if (commit !== installed.commit) {
    throw new Error(`commit ${commit} answers, commit ${installed.commit} was installed`);
  }
  console.log(`Version ${version} (${commit.slice(0, 8)}) is healthy on port ${process.env.PORT}`);
}

main().catch((error) => {
  console.error(`Not healthy: ${error.cause ? error.cause.message : error.message}`);
  process.exit(1);
});
