/** The harness itself, on every server that is installed. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { withServer } from '../../test/real-servers.ts';
import { isGone } from './processes.mjs';
import { type ServerName, servers } from './servers.mjs';

/** RabbitMQ's many seconds come three times. */
const startsMsMax = 300_000;

for (const name of Object.keys(servers) as ServerName[]) {
  withServer(name, 'the harness', ({ start }) => {
    it(
      'starts it, pauses it, kills it, brings it back, and leaves nothing of it',
      async () => {
        const server = await start();
        const { pids } = server;
        expect(pids.length).toBeGreaterThan(0);
        await server.pause();
        server.resume();
        await server.kill();
        expect(pids.every(isGone)).toBe(true);
        expect(server.pids).toEqual([]);
        await server.restart();
        const successors = server.pids;
        expect(successors.length).toBeGreaterThan(0);
        await server.stop();
        expect(successors.every(isGone)).toBe(true);
        expect(existsSync(server.folder)).toBe(false);
      },
      startsMsMax,
    );
  });
}
