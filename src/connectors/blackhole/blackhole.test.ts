import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { runContext } from '../../../test/support/connector-conformance/subject.ts';
import { blackhole } from './index.ts';

testSink({ connector: blackhole, context: () => runContext({}), dials: false });
