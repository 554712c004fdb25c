import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URL;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Base64;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/**
 * Fetches https://HOST/ through a proxy with the runtime's own HTTPS client.
 *
 * <p>Usage: java Visit.java PROXY HOST TRUSTSTORE TLS PIN. TLS is 1.2, 1.3 or any; PIN is the base64 of the only public
 * key accepted, checked by a trust manager after the chain, or -. Exit codes: 0 an answer came, 3 the certificate was
 * refused, 1 anything else.
 */
public final class Visit {
    /** The password of a truststore with nothing secret in it. */
    private static final char[] PASSWORD = "changeit".toCharArray();

    public static void main(String[] arguments) throws Exception {
        String[] proxy = arguments[0].split(":");
        String host = arguments[1];
        String version = arguments[3];
        String pin = arguments[4];
        if (!version.equals("any")) {
            System.setProperty("https.protocols", "TLSv" + version);
        }
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        try (FileInputStream file = new FileInputStream(arguments[2])) {
            trusted.load(file, PASSWORD);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        factory.init(trusted);
        X509TrustManager chains = (X509TrustManager) factory.getTrustManagers()[0];
        SSLContext context = SSLContext.getInstance("TLS");
        TrustManager manager = pin.equals("-") ? chains : new Pinned(chains, pin);
        context.init(null, new TrustManager[] {manager}, null);

        InetSocketAddress address = new InetSocketAddress(proxy[0], Integer.parseInt(proxy[1]));
        URL url = new URL("https://" + host + "/");
        HttpsURLConnection connection =
                (HttpsURLConnection) url.openConnection(new Proxy(Proxy.Type.HTTP, address));
        connection.setSSLSocketFactory(context.getSocketFactory());
        connection.setConnectTimeout(30_000);
        connection.setReadTimeout(30_000);
        try {
            System.out.println(connection.getResponseCode());
        } catch (SSLException refused) {
            System.err.println(refused);
            System.exit(3);
        }
    }

    /** Judges the chain first, then the public key of the leaf. */
    private record Pinned(X509TrustManager chains, String pin) implements X509TrustManager {
        @Override
        public void checkServerTrusted(X509Certificate[] chain, String kind) throws CertificateException {
            chains.checkServerTrusted(chain, kind);
            byte[] shown;
            try {
                shown = MessageDigest.getInstance("SHA-256").digest(chain[0].getPublicKey().getEncoded());
            } catch (java.security.NoSuchAlgorithmException missing) {
                throw new CertificateException(missing);
            }
            if (!Base64.getEncoder().encodeToString(shown).equals(pin)) {
                throw new CertificateException("the public key is not the pinned one");
            }
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String kind) throws CertificateException {
            throw new CertificateException("clients are not judged here");
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return chains.getAcceptedIssuers();
        }
    }
}
