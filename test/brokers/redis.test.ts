import { exchange } from '../../scripts/servers/exchange.mjs';
import { withServer } from '../real-servers.ts';
import { brokerMatrix } from './matrix.ts';

withServer('redis', 'whole processes', (redis) => {
  const start = () => redis.start();
  type Server = Awaited<ReturnType<typeof start>>;
  const command = async ({ port }: Server, ...lines: string[]): Promise<void> => {
    for (const line of lines) await exchange(port, `${line}\r\n`, (answer) => answer.includes('+OK'));
  };
  brokerMatrix('redis:', {
    start,
    hurts: [
      { what: 'FLUSHALL, twice (N02)', hurt: (server) => command(server, 'FLUSHALL', 'FLUSHALL') },
      {
        what: 'a server whose memory is full for two seconds: it takes nothing, and evicts nothing (N14, S08)',
        hurt: async (server) => {
          await command(server, 'CONFIG SET maxmemory 1');
          await new Promise((resolve) => setTimeout(resolve, 2_000));
          await command(server, 'CONFIG SET maxmemory 0');
        },
      },
    ],
  });
});
