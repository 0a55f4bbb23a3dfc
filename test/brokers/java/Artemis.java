import org.apache.activemq.artemis.core.config.impl.ConfigurationImpl;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;

/** ActiveMQ Artemis with its journal. Arguments: the port and the folder of its data. */
class Artemis {
    public static void main(String[] args) throws Exception {
        var config = new ConfigurationImpl()
            .setPersistenceEnabled(true)
            .setSecurityEnabled(false)
            .setBindingsDirectory(args[1] + "/bindings")
            .setJournalDirectory(args[1] + "/journal")
            .setLargeMessagesDirectory(args[1] + "/large")
            .setPagingDirectory(args[1] + "/paging")
            .addAcceptorConfiguration("mqtt", "tcp://127.0.0.1:" + args[0] + "?protocols=MQTT");
        new EmbeddedActiveMQ().setConfiguration(config).start();
        Thread.currentThread().join();
    }
}
