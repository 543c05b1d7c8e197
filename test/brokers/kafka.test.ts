import { withServer } from '../real-servers.ts';
import { brokerMatrix } from './matrix.ts';

withServer('kafka', 'whole processes', (kafka) => {
  brokerMatrix('kafka:', { start: () => kafka.start() });
});
