import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { withServer } from '../real-servers.ts';
import { brokerMatrix } from './matrix.ts';

withServer('nats', 'whole processes', (nats) => {
  brokerMatrix('nats:', {
    start: () => nats.start(),
    hurts: [
      {
        what: 'the stream removed by hand (N02)',
        hurt: async ({ port }) => {
          const connection = await connect({ port });
          await (await jetstreamManager(connection)).streams.delete('SHOAL_matrix');
          await connection.close();
        },
      },
    ],
  });
});
