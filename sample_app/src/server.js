// Starts the service on PORT (8080) and LISTEN_ADDRESS (all addresses).
'use strict';

const { createApp } = require('./app');
const { readSite } = require('./site');

const port = Number(process.env.PORT || 8080);
const address = process.env.LISTEN_ADDRESS || '0.0.0.0';
const site = readSite();
const server = createApp(site);

server.on('error', (error) => {
  const taken = error.code === 'EADDRINUSE';
  console.error(taken ? `Port ${port} is taken; set PORT to another.` : `Cannot start: ${error.message}`);
  process.exit(1);
});

server.listen(port, address, () => {
  console.log(`version ${site.version} (${site.commit.slice(0, 8)}) listens on ${address}:${port}`);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}
