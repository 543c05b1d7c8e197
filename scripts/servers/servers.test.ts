/** The harness itself, on every server that is installed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as later } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { withServer } from '../../test/real-servers.ts';
import { tracesIn } from '../leftovers.mjs';
import { type Memory, memories } from './memories.ts';
import { isGone, isHalted } from './processes.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** RabbitMQ's many seconds come twice, and Kafka's. */
const startsMsMax = 300_000;

for (const name of Object.keys(memories) as (keyof typeof memories)[]) {
  withServer(name, 'the harness', ({ start }) => {
    it(
      'starts it, pauses it, ends it, brings it back with its data, and leaves nothing of it',
      async () => {
        const server = await (name === 'redis' || name === 'valkey' ? start({ appendonly: true }) : start());
        const remember = async <T>(use: (memory: Memory) => Promise<T>): Promise<T> => {
          const memory = await memories[name](server.url);
          try {
            return await use(memory);
          } finally {
            await memory.close();
          }
        };
        await remember((memory) => memory.put());
        const { pids } = server;
        expect(pids.length).toBeGreaterThan(0);
        const found = tracesIn(root).join('\n');
        const isSeen = (trace: string) => found.includes(trace);
        if (existsSync('/proc/net/tcp')) {
          expect([server.folder, `port ${server.port}`].filter((trace) => !isSeen(trace))).toEqual([]);
          expect(pids.filter((pid) => !isSeen(`process ${pid}: `) && !isGone(pid))).toEqual([]);
        }

        await server.pause();
        expect(server.pids.every(isHalted)).toBe(true);
        server.resume();
        expect(await remember((memory) => memory.ask())).toBe('kept');

        // RabbitMQ keeps what it confirmed, but may have forgotten a queue that was declared moments before.
        await (name === 'rabbitmq' ? server.shutdown() : server.kill());
        expect(pids.every(isGone)).toBe(true);
        expect(server.pids).toEqual([]);
        await server.restart();
        expect(await remember((memory) => memory.ask())).toBe('kept');

        const successors = server.pids;
        expect(successors.length).toBeGreaterThan(0);
        await server.stop();
        expect(successors.every(isGone)).toBe(true);
        expect(existsSync(server.folder)).toBe(false);
        expect(tracesIn(root).filter((trace) => trace.includes(server.folder))).toEqual([]);
      },
      startsMsMax,
    );
  });
}

withServer('postgres', 'the guard', () => {
  for (const state of ['running', 'paused']) {
    it(`ends a ${state} server whose starter was killed with -9`, async () => {
      const starter = spawn(process.execPath, [fileURLToPath(new URL('starter.fixture.mjs', import.meta.url)), state], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      onTestFinished(() => void starter.kill('SIGKILL'));
      const [line] = await once(starter.stdout, 'data');
      const { pids, folder } = JSON.parse(`${line}`) as { pids: number[]; folder: string };
      expect(pids.length).toBeGreaterThan(1);
      starter.kill('SIGKILL');
      while (existsSync(folder) || !pids.every(isGone)) await later(20);
    });
  }
});

withServer('redis', 'a failed start', ({ start }) => {
  it('says why, with the end of the log', async () => {
    await expect(start({ args: ['--no-such-option', 'x'] })).rejects.toThrow(/^redis: .* ended with 1\n(.|\n)*no-such-option/);
  });
});
