// Starts the service on PORT (8080) and LISTEN_ADDRESS (all addresses).
'use strict';

const { createApp } = require('./app');
const { readSite } = require('./site');

const port = process.env.PORT || '8080';
const address = process.env.LISTEN_ADDRESS || '0.0.0.0';

if (!/^\d+$/.test(port) || Number(port) > 65535) {
  console.error(`PORT is "${port}"; it must be a number from 0 to 65535.`);
  process.exit(1);
}

const site = readSite();
const server = createApp(site);

server.on('error', (error) => {
  const taken = error.code === 'EADDRINUSE';
  console.error(taken ? `Port ${port} is taken; set PORT to another.` : `Cannot start: ${error.message}`);
  process.exit(1);
});

server.listen(Number(port), address, () => {
  console.log(`version ${site.version} (${site.commit.slice(0, 8)}) listens on ${address}:${server.address().port}`);
});

// Requests under way may finish, for a second at most.
function stop() {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 1000).unref();
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
