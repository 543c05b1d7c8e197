import { executorSuite } from './executor.suite.ts';
import { killableSuite } from './killable.suite.ts';
import { threadExecutor } from './thread.ts';

executorSuite('thread', threadExecutor);
killableSuite('thread', threadExecutor);
