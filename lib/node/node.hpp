#pragma once

#include "base/bell.hpp"
#include "control/server.hpp"
#include "intake/server.hpp"
#include "journal/guard.hpp"
#include "link/hints.hpp"
#include "link/prober.hpp"
#include "mirror/second_copy.hpp"
#include "node/alarms.hpp"
#include "node/config.hpp"
#include "node/watcher.hpp"
#include "replay/replayer.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <optional>
#include <set>
#include <string>

namespace titip::node {

/// Why a node could not start: one line that names file, key, and what to do.
struct start_failure {
    std::string sentence;
};

/// What the files of [identity] and [seal] hold.
struct materials {
    std::shared_ptr<const trust::identity> identity;
    std::shared_ptr<const trust::authorities> authorities;
    std::shared_ptr<const envelope::sealer> sealer;        ///< null without [seal]
    std::vector<std::shared_ptr<x509_st>> recipients;      ///< each once
    std::shared_ptr<const trust::revocation_list> revoked; ///< of [identity] revoked; never null
    bool are_revoked_read = false;                         ///< all of these files could be
    /// What in the files of trust is not understood: key, file, what; the rest counts.
    std::vector<std::string> not_understood;
};

/// Reads and checks them against the configuration; touches nothing else.
result<materials, start_failure> load_materials(const config& from);

/// A whole node, wired from its configuration: journal, doors, replay, sockets.
/// Threads: the socket thread; the journal has a writer thread, sealing and reading a pool of two.
/// [mirror], which must be there.
mirror::disk::whereabouts second_disk_of(const config& from);

class node {
public:
    /// Checks everything before the store is opened. A store that cannot be trusted is not a
    /// failure here: the node then runs in safe mode, and says why on its control socket.
    /// `watched`: what its threads say of themselves.
    static result<std::unique_ptr<node>, start_failure> start(asio::any_io_executor on, config from,
                                                              std::shared_ptr<vitals> watched);
    ~node();

    /// Until stop(); comes back when all that was under way has ended, or after four seconds, to which
    /// the time that the writer is at the disk does not count.
    asio::awaitable<void> run();
    void stop();
    /// SIGHUP: certificates and keys are read again; what cannot be used is logged, and the old
    /// stays.
    void reload();

    /// For systemd's status line.
    std::string summary() const;
    /// To be called now and then: a finding is in the journal without a change of any record.
    void look_for_alarms();
    /// `passed` is called by the writer when it comes round; at once where there is no store.
    void knock(std::function<void()> passed);
    /// Whether the store failed: the process has to end, with this as its last word.
    const std::string& store_failure() const noexcept { return store_failure_; }
    /// After run(): whether to begin again, because a store is there now.
    bool is_to_begin_again() const noexcept { return is_to_begin_again_; }
    /// After run(): whether all that was under way has ended.
    bool has_ended() const noexcept { return running_count_ == 0; }
    /// "127.0.0.1:8443", or empty.
    std::string listening() const;

private:
    node(asio::any_io_executor on, config from, materials m, std::shared_ptr<vitals> watched);
    result<void, start_failure> open_store();
    void enter_safe_mode(std::string why, wall_time since);
    void look_at_mark();
    asio::awaitable<void> await_store();
    result<void, start_failure> open_doors();
    bool repairs(journal::place at) { return second_copy_ && second_copy_->take_rotten(at); }
    http::tls_options tls_options_of(bool is_client) const;
    void start_part(asio::awaitable<void> work);
    asio::awaitable<void> watch_room();
    asio::awaitable<void> count_needs_person();
    asio::awaitable<void> replay();
    control::services services();
    intake::self_description description();
    asio::awaitable<void> take_back(std::string relay);
    asio::awaitable<void> look_at_relayed();
    asio::awaitable<void> verify();
    void recall_verification();
    trust::reckoning reckon() const;
    void take_revoked();
    void keep_listed();
    void note_revoked(const trust::revocations::sighting& what);
    asio::awaitable<void> keep_all(std::vector<digest> certificates);
    asio::awaitable<void> keep_revoked(journal::revoked_certificate which);
    void on_unrevoked(const digest& certificate);
    void look_at_relays();
    std::vector<trust::watched> certificates() const;
    void look_at_files();

    /// What handshakes have shown; shared with the contexts that they are made in.
    struct sightings {
        trust::refused_peers refused;
        std::vector<trust::chain_link> upstream;
    };

    asio::any_io_executor on_;
    config config_;
    materials materials_;
    std::shared_ptr<vitals> watched_;
    std::shared_ptr<trust::judge> judge_;
    trust::clock_watch clock_{trust::judge::build_time()};
    std::shared_ptr<sightings> seen_ = std::make_shared<sightings>();
    trust::chains chains_;             ///< by the files; the upstream's is in seen_
    std::vector<std::string> misfits_; ///< that are wrong: alarms
    asio::thread_pool pool_{2};
    std::string safe_mode_;
    wall_time safe_mode_since_{};
    bool is_store_absent_ = false;
    control::services::store_mark mark_;
    std::string fleeting_;
    std::unique_ptr<journal::marker> marker_; ///< before the store: its threads speak to both
    std::unique_ptr<journal::guard> guard_;
    std::string store_failure_;
    /// Those in use; shared with what was made with them, and outlived by that.
    struct contexts {
        std::shared_ptr<http::tls_context> client;
        std::shared_ptr<http::tls_context> server;
    };
    std::shared_ptr<contexts> tls_ = std::make_shared<contexts>();
    std::unique_ptr<journal::store> store_;
    std::unique_ptr<mirror::second_copy> second_copy_; ///< [mirror]
    std::unique_ptr<journal::scrubber> scrubber_;
    std::unique_ptr<journal::stalled_uploads> stalled_; ///< [listen]
    std::unique_ptr<accept::acceptor> acceptor_;
    std::unique_ptr<accept::gate> gate_;
    std::unique_ptr<link::dialer> dialer_;
    std::unique_ptr<replay::replayer> replayer_;
    std::optional<link::hints> hints_;
    std::unique_ptr<intake::server> intake_;
    std::unique_ptr<control::verification> verification_;
    std::unique_ptr<control::server> control_;
    std::unique_ptr<http::listener> upper_door_; ///< [listen]
    std::unique_ptr<http::listener> local_door_;
    alarms alarms_;
    instant relayed_looked_at_{};
    std::set<std::string> relays_below_; ///< that came since the start
    std::shared_ptr<trust::revocations> revocations_;
    std::set<digest> being_kept_;  ///< certificates on their way into the store
    bool is_revoked_full_ = false; ///< it takes no more of them
    bell changed_;
    std::vector<std::unique_ptr<asio::cancellation_signal>> running_;
    std::size_t running_count_ = 0;
    bool is_stopping_ = false;
    bool is_to_begin_again_ = false;
};

} // namespace titip::node
