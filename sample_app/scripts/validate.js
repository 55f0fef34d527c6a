// Asks the service until it is healthy, then compares its build with the installed one.
// In Node, because a host need not have curl.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const [appDir, pidFile] = process.argv.slice(2);
const { LISTEN_ADDRESS, PORT } = process.env;
const address = LISTEN_ADDRESS && LISTEN_ADDRESS !== '0.0.0.0' ? LISTEN_ADDRESS : '127.0.0.1';
const url = `http://${address}:${PORT}`;
const patience = Date.now() + 10_000;

async function ask(route) {
  const response = await fetch(url + route, { signal: AbortSignal.timeout(2000) });
  if (!response.ok) throw new Error(`${route} answers ${response.status}`);
  return response.json();
}

function lives(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

async function untilHealthy(pid) {
  for (;;) {
    if (!lives(pid)) throw new Error(`process ${pid} has ended`);
    try {
      const health = await ask('/health');
      if (health.status === 'ok') return;
      throw new Error(`/health says ${JSON.stringify(health)}`);
    } catch (error) {
      if (Date.now() > patience) throw error;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}

async function main() {
  const installed = JSON.parse(fs.readFileSync(path.join(appDir, 'build-info.json'), 'utf8'));
  await untilHealthy(Number(fs.readFileSync(pidFile, 'utf8')));
  const running = await ask('/api/version');
  // The same commit can be built twice, so the time of the build counts too.
  for (const what of ['commit', 'builtAt']) {
    if (running[what] !== installed[what]) {
      throw new Error(`${what} ${running[what]} answers on port ${PORT}, ${installed[what]} was installed`);
    }
  }
  console.log(`Version ${running.version} (${running.commit.slice(0, 8)}) is healthy on port ${PORT}`);
}

main().catch((error) => {
  console.error(`Not healthy: ${error.cause ? error.cause.message : error.message}`);
  process.exitCode = 1;
});
