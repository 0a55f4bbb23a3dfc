import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.store.kahadb.KahaDBPersistenceAdapter;

/** ActiveMQ Classic with KahaDB. Arguments: the port and the folder of its data. */
class ActiveMq {
    public static void main(String[] args) throws Exception {
        var store = new KahaDBPersistenceAdapter();
        store.setDirectory(new java.io.File(args[1]));
        var broker = new BrokerService();
        broker.setBrokerName("penstock");
        broker.setUseJmx(false);
        broker.setPersistenceAdapter(store);
        broker.setDataDirectory(args[1]);
        broker.addConnector("mqtt://127.0.0.1:" + args[0]);
        broker.start();
        broker.waitUntilStopped();
    }
}
