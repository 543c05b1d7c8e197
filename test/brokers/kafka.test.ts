import { ConfigResourceTypes, Kafka } from 'kafkajs';
import { withServer } from '../real-servers.ts';
import { brokerMatrix } from './matrix.ts';

const topics = ['matrix.coordinator', 'matrix.workers'];

withServer('kafka', 'whole processes', (kafka) => {
  const start = () => kafka.start();
  type Server = Awaited<ReturnType<typeof start>>;
  const asAdmin = async ({ port }: Server, act: (admin: ReturnType<Kafka['admin']>) => Promise<unknown>): Promise<void> => {
    const admin = new Kafka({ brokers: [`127.0.0.1:${port}`], logCreator: () => () => undefined }).admin();
    await admin.connect();
    await act(admin).finally(() => admin.disconnect());
  };
  const wantCopies = (server: Server, value: string): Promise<void> =>
    asAdmin(server, (admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: topics.map((name) => ({
          type: ConfigResourceTypes.TOPIC,
          name,
          configEntries: [{ name: 'min.insync.replicas', value }],
        })),
      }),
    );
  brokerMatrix('kafka:', {
    start,
    hurts: [
      { what: 'its topics deleted by somebody (N02)', hurt: (server) => asAdmin(server, (admin) => admin.deleteTopics({ topics })) },
      {
        what: 'a server that takes nothing for two seconds, since it has too few copies (N14)',
        hurt: async (server) => {
          await wantCopies(server, '2');
          await new Promise((resolve) => setTimeout(resolve, 2_000));
          await wantCopies(server, '1');
        },
      },
    ],
  });
});
