import { withServer } from '../real-servers.ts';
import { brokerMatrix } from './matrix.ts';

withServer('rabbitmq', 'whole processes', (rabbitmq) => {
  brokerMatrix('amqp:', {
    start: () => rabbitmq.start(),
    // A start takes ten seconds and more.
    timeoutMs: 240_000,
    hurts: [
      {
        what: 'a server that is short of memory for two seconds, and takes nothing (N14)',
        hurt: async (server) => {
          await server.control('set_vm_memory_high_watermark', 'absolute', '1');
          await new Promise((resolve) => setTimeout(resolve, 2_000));
          await server.control('set_vm_memory_high_watermark', '0.6');
        },
      },
    ],
  });
});
